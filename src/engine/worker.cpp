// SPDX-License-Identifier: Apache-2.0
#include "engine/worker.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <thread>

namespace qlcshape {

bool Worker::poll(Phase phase) {
    polls_.store(polls() + 1, std::memory_order_release);
    if (phase == Phase::halted) {
        queue_->drop();
        failed_.store(true, std::memory_order_relaxed);
        reached_.store(static_cast<int>(phase), std::memory_order_release);
        return false;
    }
    if (broken() != Broken::no) return false;  // the lock stays locked
    std::unique_lock<std::mutex> lock;
    if (lock_ != nullptr) {
        lock = lock_->for_polling();
        if (!lock) {
            std::this_thread::yield();
            return true;
        }
    }
    // Memory is taken at open, but for some small things. Without it the work is left half done.
    Broken met = Broken::memory;
    try {
        return work(phase);
    } catch (const std::bad_alloc&) {
    } catch (...) {
        met = Broken::exception;
    }
    lock.release();  // it stays locked
    broken_.store(met, std::memory_order_release);
    return false;
}

// A phase is reached in a round in which nothing happened and every actor is done with it, not when
// each was done with it at some time: an answer on its way from one actor to another may give that
// one more to do.
//
// After the last one nothing begins any more, whatever there is to do: its memory may go at any
// time. A band that its last reader leaves only then is erased by the next opening.
bool Worker::work(Phase phase) {
    if (reached() == Phase::flushing) return false;
    if (phase != Phase::running) {
        for (const auto& actor : actors_) actor->begin(phase);
    }
    bool any = queue_->poll() != 0;
    for (const auto& actor : actors_) {
        any |= actor->poll();
        if (actor->failed()) failed_.store(true, std::memory_order_relaxed);
    }
    if (phase != Phase::running && reached() < phase && !any && done_with(phase)) {
        reached_.store(static_cast<int>(phase), std::memory_order_release);
        any = true;
    }
    return any;
}

const char* describe(Worker::Broken broken) {
    if (broken == Worker::Broken::memory) {
        return "since memory ran out; raise the limit (ulimit -v, MemoryMax= of a systemd unit, a "
               "container's memory), or lower pmt_cache, before it is opened again";
    }
    return "since an exception was thrown where none should be; that is a fault of this program: "
           "report it";
}

bool Worker::busy() const {
    return std::ranges::any_of(actors_, [](const auto& actor) { return actor->busy(); });
}

bool Worker::done_with(Phase phase) const {
    // The last phase: afterwards memory goes that transfers under way would use.
    if (phase == Phase::flushing && queue_->in_flight() != 0) return false;
    return std::ranges::all_of(actors_,
                               [phase](const auto& actor) { return actor->done_with(phase); });
}

}  // namespace qlcshape
