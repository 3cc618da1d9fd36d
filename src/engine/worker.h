// SPDX-License-Identifier: Apache-2.0
// One thread's work: its I/O queue, and a shard or a collector (the first collector's thread also
// has the keeper and the snapshotter). An engine runs each worker on a thread; a simulator polls
// them in any order it likes. None of them blocks or has a thread of its own: docs/architecture.md,
// Actors and poll().
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "band/keeper.h"
#include "gc/collector.h"
#include "recovery/snapshotter.h"
#include "shard/shard.h"

namespace qlcshape {

// Closing goes in steps; each is begun when every worker has reached the one before:
//
// - draining before erasing: what is in RAM needs bands, which only the keeper opens. So it must
//   not begin to close before shards and collectors have committed everything.
// - draining before flushing: publishing makes pages of the table dirty.
// - erasing before the end: Core::finish_close() writes the band table itself, and two writers of
//   it would give one generation of a page to two contents.
enum class Phase : int {
    running = 0,
    draining = 1,  // shards commit what is in RAM, collectors finish what they began
    erasing = 2,   // the keeper erases what was moved
    flushing = 3,  // shards write the table back
    halted = 4,    // instead of all others: nothing goes on (Core::watch())
};

class Worker {
  public:
    Worker(std::string name, std::unique_ptr<IoQueue> queue)
        : name_(std::move(name)), queue_(std::move(queue)) {}

    void own(std::unique_ptr<Shard> shard) { shard_ = std::move(shard); }
    void own(std::unique_ptr<Collector> collector) { collector_ = std::move(collector); }
    void run_keeper(BandKeeper* keeper, Snapshotter* snapshotter) {
        keeper_ = keeper;
        snapshotter_ = snapshotter;
    }

    // The worker's thread. True if anything happened, or if the shard's lock was taken: the thread
    // must not go to sleep then.
    bool poll(Phase phase);
    bool has_mail() const {
        return (shard_ && shard_->has_mail()) || (collector_ && collector_->has_mail());
    }
    bool busy() const {
        return (shard_ && shard_->busy()) || (collector_ && collector_->busy()) ||
               (keeper_ && (!keeper_->idle() || !snapshotter_->idle()));
    }

    // Any thread.
    std::uint64_t polls() const { return polls_.load(std::memory_order_relaxed); }
    Phase reached() const { return static_cast<Phase>(reached_.load(std::memory_order_acquire)); }
    const std::string& name() const { return name_; }
    bool failed() const { return failed_.load(std::memory_order_relaxed); }

    void wake() { queue_->wake(); }
    IoQueue& queue() { return *queue_; }
    Counters& counters() { return counters_; }
    Shard* shard() { return shard_.get(); }
    Collector* collector() { return collector_.get(); }

  private:
    bool done_with(Phase phase);

    std::string name_;
    std::unique_ptr<IoQueue> queue_;
    Counters counters_;
    std::unique_ptr<Shard> shard_;
    std::unique_ptr<Collector> collector_;
    BandKeeper* keeper_ = nullptr;  // with a snapshotter, or neither
    Snapshotter* snapshotter_ = nullptr;
    std::atomic<std::uint64_t> polls_{0};
    std::atomic<int> reached_{0};
    std::atomic<bool> failed_{false};
};

}  // namespace qlcshape
