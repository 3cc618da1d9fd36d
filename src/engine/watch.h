// SPDX-License-Identifier: Apache-2.0
// A thread that looks after something some times a second. There are two, since every other thread
// may be the one that is stuck, in a transfer or in a function of the program's: one looks whether
// drives answer, which also moves the clock by which they are measured (IoClock), and lets the
// scrub go on; the other decides about drives that take no writes, for which it writes
// superblocks.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/limits.h"

namespace qlcshape {

class Watch {
  public:
    Watch(const char* name, std::function<void()> look, WaitingThreads& threads);
    ~Watch();

  private:
    void run();

    std::function<void()> look_;
    std::mutex mutex_;
    std::condition_variable stopping_;
    bool stop_ = false;
    JobThread thread_;
};

}  // namespace qlcshape
