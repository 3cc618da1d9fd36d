// SPDX-License-Identifier: Apache-2.0
// Gives back the space of deleted volumes in the background, on a thread of its own: trims what a
// volume had, then takes it out of the list of volumes. What is not finished when the array is
// closed, or fails, goes on at the next opening: a deletion is durable before it comes here, and
// the trim can be done any number of times. One volume at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "engine/core.h"
#include "engine/limits.h"

namespace qlcshape {

class WaitingThreads;

class Reclaimer {
  public:
    // Options and core must outlive it.
    Reclaimer(const Options& options, Core& core, WaitingThreads& threads);
    ~Reclaimer();

    void add(Core::Deletion deletion);
    // Waits until everything is given back; the error if that can't be.
    Status wait();
    // From here on nobody waits, and what is not given back stays for the next opening.
    void stop();

  private:
    void run();
    void say(const std::string& name, const Status& done) const;
    Status reclaim(const Core::Deletion& deletion);

    const Options& options_;
    Core& core_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Core::Deletion> waiting_;  // the front is under way
    Status outcome_;
    std::atomic<bool> stop_{false};
    JobThread thread_;
};

}  // namespace qlcshape
