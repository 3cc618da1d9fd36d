// SPDX-License-Identifier: Apache-2.0
// A shard: one thread's share of the data plane. It owns the PMT pages routed to it, orders all
// writes to their blocks, and shares nothing but the band table, the space gate and its two
// mailboxes.
//
// This class takes the mail, polls its parts in an order for which poll() gives the reasons, and
// knows when all of them have ended. What the parts are, who calls whom, and what each knows
// nothing of: docs/architecture.md, A shard in parts.
//
// Everything advances from poll(), on the shard's thread. A thread that waits for a small read may
// look into the table itself (read_inline()), while nobody polls.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/actor.h"
#include "base/mailbox.h"
#include "journal/tps.h"
#include "shard/direct_read.h"
#include "shard/mirror_fill.h"
#include "shard/pipeline.h"
#include "shard/publisher.h"
#include "shard/reads.h"
#include "shard/shard_context.h"
#include "shard/table_service.h"
#include "shard/write_queue.h"

namespace qlcshape {

class Shard final : public Actor {
  public:
    using Shared = ShardContext::Shared;

    // `memory`: memory_bytes() of it, registered with the queue.
    Shard(const Shared& shared, std::uint32_t index, std::uint64_t cache_sets, IoQueue& queue,
          Buffer memory);
    static std::uint64_t memory_bytes(const ArrayLayout& layout);
    ~Shard() override;

    // --- any thread ---
    void submit(PageOp& op) {
        mailbox_.put(op);
        context_.queue.wake();
    }
    // A read of at most DirectRead::kMostBlocks blocks, made by the caller's thread through its own
    // queue while the shard's sleeps or does other things. False: something isn't at hand, or isn't
    // right, and the shard has to be asked; the op's data may have been written.
    bool read_inline(PageOp& op, IoQueue& queue, DirectRead& direct) {
        return reads_.read_inline(op, queue, direct, lock_);
    }
    // Whoever polls the shard holds it.
    ShardLock& lock() { return lock_; }
    MapPort& map_port() { return table_.port(); }
    const Counters& counters() const { return context_.counters; }
    bool failed() const override { return context_.has_failed(); }
    // Goes up with each piece of a request that ends.
    std::uint64_t ended() const { return context_.ended.load(std::memory_order_relaxed); }
    std::uint64_t blocks_used_now() const { return counters().get(Counter::used_blocks); }
    // A page of the table is not what it should be.
    bool table_damaged() const { return table_damaged_.load(std::memory_order_relaxed); }
    // For a snapshot: every page that is dirty by now is to be written back. Returns the number
    // that sweeps_done() reaches when it is; the drives then still need a flush.
    std::uint64_t ask_sweep() { return table_.ask_sweep(); }
    std::uint64_t sweeps_done() const { return table_.sweeps_done(); }
    // Everything that recovery found is in the table by now.
    bool patched() const { return table_.patched(); }

    MirrorFill& mirror_fill() { return mirror_fill_; }
    const MirrorFill& mirror_fill() const { return mirror_fill_; }

    // --- the shard's thread ---
    bool poll() override;
    bool busy() const override;
    // Draining: what is in RAM is committed and published. Flushing: the table is written back.
    void begin(Phase) override { closing_ = true; }
    bool done_with(Phase phase) override;

    std::uint32_t index() const { return context_.index; }

    // --- set-up ---
    void set_patches(std::vector<Patch> patches) { table_.set_patches(std::move(patches)); }
    void set_read_only(std::vector<Patch> patches, bool whole_table) {
        context_.cache.set_read_only(std::move(patches), whole_table);
    }
    void set_recovered(const RecoveredBlocks* recovered) { reads_.set_recovered(recovered); }
    void memory(std::uint64_t& cache, std::uint64_t& segments, std::uint64_t& overlay) const;

  private:
    bool take_mail();
    void dispatch(PageOp& op);
    bool end_flushes();
    void look_for_failures();
    bool rests() const;
    bool drained() const;

    ShardLock lock_;
    SpaceGate::Rest& rest_;
    Mailbox<PageOp> mailbox_;
    Buffer memory_;  // RAM segments, then read chunks
    ShardContext context_;
    Tps tps_;
    Publisher publisher_;
    SegmentPipeline pipeline_;
    Reads reads_;
    WriteQueue writes_;
    TableService table_;
    MirrorFill mirror_fill_;
    std::atomic<bool> table_damaged_{false};  // any thread may read
    bool closing_ = false;
};

}  // namespace qlcshape
