// SPDX-License-Identifier: Apache-2.0
// For an SCM drive that is coming (engine/core_fill.cpp): the shard's pages of the table are
// written once more, so that it has them, and its records of the TPS from before are freed, which
// it does not have. On the shard's thread, but for what says otherwise.
#pragma once

#include <atomic>
#include <cstdint>

#include "shard/pipeline.h"
#include "shard/shard_context.h"

namespace qlcshape {

class MirrorFill {
  public:
    MirrorFill(ShardContext& shard, SegmentPipeline& pipeline)
        : shard_(shard), pipeline_(pipeline) {}

    // --- any thread ---
    // Of the drive of that index. What was asked for before is given up.
    // Not before the shard has polled since give_up().
    void ask(std::uint32_t scm) {
        clear();
        ask_for(scm);
    }
    void give_up() { ask_for(kNoDrive); }
    // How far it is begins at 0.
    void clear() {
        share_.store(0, std::memory_order_relaxed);
        pages_.store(0, std::memory_order_relaxed);
    }
    bool done() const {
        return asked_.load(std::memory_order_acquire) == done_.load(std::memory_order_acquire);
    }

    // Of the table's pages, how much was looked at, since ask().
    double share() const { return share_.load(std::memory_order_relaxed); }
    // And how many were written.
    std::uint64_t pages() const { return pages_.load(std::memory_order_relaxed); }

    // --- the shard's thread ---
    // True if anything happened.
    bool poll();

  private:
    static constexpr std::uint32_t kNoDrive = 0xff;
    static constexpr std::uint64_t kOne = 0x100;  // asked_ counts in it, below is the drive

    void ask_for(std::uint32_t drive) {
        const std::uint64_t number = asked_.load(std::memory_order_relaxed) / kOne + 1;
        asked_.store(number * kOne + drive, std::memory_order_release);
        shard_.queue.wake();
    }

    ShardContext& shard_;
    SegmentPipeline& pipeline_;
    std::atomic<std::uint64_t> asked_{kNoDrive};  // by one thread at a time
    std::atomic<std::uint64_t> done_{kNoDrive};
    std::uint64_t begun_ = kNoDrive;
    std::atomic<double> share_{0};
    std::atomic<std::uint64_t> pages_{0};
};

}  // namespace qlcshape
