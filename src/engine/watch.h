// SPDX-License-Identifier: Apache-2.0
// The thread that looks, some times a second, whether drives answer. It is one of its own: every
// other may be the one that is stuck, in a transfer or in a function of the program's. Its looks
// also move the clock by which drives are measured (IoClock).
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/core.h"
#include "engine/limits.h"

namespace qlcshape {

class Watch {
  public:
    // `core` must outlive it.
    Watch(Core& core, WaitingThreads& threads);
    ~Watch();

  private:
    void run();

    Core& core_;
    std::mutex mutex_;
    std::condition_variable stopping_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace qlcshape
