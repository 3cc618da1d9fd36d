// SPDX-License-Identifier: Apache-2.0
// One thread's work: its I/O queue and the actors that it moves, in the order in which they came.
// An engine runs each worker on a thread; a simulator polls them in any order it likes.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/actor.h"
#include "base/counters.h"
#include "device/io.h"
#include "shard/direct_read.h"

namespace qlcshape {

class Worker {
  public:
    Worker(std::string name, std::unique_ptr<IoQueue> queue)
        : name_(std::move(name)), queue_(std::move(queue)) {}

    template <class A>
    A& own(std::unique_ptr<A> actor) {
        A& owned = *actor;
        actors_.push_back(std::move(actor));
        return owned;
    }
    // Held in poll(), against threads that look into a shard. An actor's.
    void hold_in_poll(ShardLock& lock) { lock_ = &lock; }

    // The worker's thread. True if anything happened.
    bool poll(Phase phase);
    bool busy() const;

    // What it met that leaves its work undone: nothing of it may go on, or be looked into.
    enum class Broken : std::uint8_t { no, memory, exception };

    // Any thread.
    Broken broken() const { return broken_.load(std::memory_order_acquire); }
    std::uint64_t polls() const { return polls_.load(std::memory_order_acquire); }
    Phase reached() const { return static_cast<Phase>(reached_.load(std::memory_order_acquire)); }
    const std::string& name() const { return name_; }
    bool failed() const { return failed_.load(std::memory_order_relaxed); }

    void wake() { queue_->wake(); }
    IoQueue& queue() { return *queue_; }
    Counters& counters() { return counters_; }

  private:
    bool work(Phase phase);
    bool done_with(Phase phase) const;

    std::string name_;
    Counters counters_;
    std::vector<std::unique_ptr<Actor>> actors_;
    std::unique_ptr<IoQueue> queue_;  // goes before them: what it still holds is theirs
    ShardLock* lock_ = nullptr;
    std::atomic<std::uint64_t> polls_{0};
    std::atomic<int> reached_{0};
    std::atomic<bool> failed_{false};
    std::atomic<Broken> broken_{Broken::no};
};

// For messages, after "it stopped".
const char* describe(Worker::Broken broken);

}  // namespace qlcshape
