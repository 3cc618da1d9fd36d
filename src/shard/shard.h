// SPDX-License-Identifier: Apache-2.0
// A shard: one thread's share of the data plane. It owns the PMT pages routed to it, orders all
// writes to their blocks, and shares nothing but the band table, the space gate and its two
// mailboxes.
//
// A write: append to the open RAM segment -> TPS record (or, for what completes a segment, its
// commit) -> acknowledged. A full segment: commit -> its TPS space is free -> published (the PMT
// leads to it) -> its RAM is free. docs/write_path.md names what a crash leaves between any two
// steps.
//
// A request's way through the lists; each PageOp is in one of them, or in a TPS record's:
//
//   writes_ --append--> pending_ --journal--> Tps::Record::ops --acked--> done
//               |                                                 |  a part of it bypassed the TPS
//               +------ all of it bypasses the TPS ------> in_commit_ --advance_durable--> done
//
// A trim has one more step before `done`: its page is fetched and forgets the blocks.
//
// Everything advances from poll(), on the shard's thread. A thread that waits for a small read may
// look into the table itself (read_inline()), while nobody polls.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "band/band_table.h"
#include "band/space_gate.h"
#include "base/actor.h"
#include "base/counters.h"
#include "base/mailbox.h"
#include "format/entry.h"
#include "pmt/map_batch.h"
#include "segment/block_reader.h"
#include "segment/committer.h"
#include "shard/direct_read.h"
#include "shard/overlay.h"
#include "shard/page_op.h"
#include "shard/tps.h"

namespace qlcshape {

// The newest contents of blocks that recovery could not commit, because drives are missing: served
// from memory, read-only.
struct RecoveredBlock {
    EntryKind kind = EntryKind::empty;  // data; poisoned: lost; tombstones: trimmed
    std::vector<std::byte> data;
};
using RecoveredBlocks = std::unordered_map<std::uint64_t, RecoveredBlock>;

class Shard final : public Actor {
  public:
    struct Shared {
        const ArrayContext& array;
        BandTable& bands;
        SpaceGate& gate;
        std::atomic<std::uint64_t>& next_version;
    };

    // `memory`: memory_bytes() of it, registered with the queue.
    Shard(const Shared& shared, std::uint32_t index, std::uint64_t cache_sets, IoQueue& queue,
          Buffer memory);
    static std::uint64_t memory_bytes(const ArrayLayout& layout);
    ~Shard() override;

    // --- any thread ---
    void submit(PageOp& op) {
        mailbox_.put(op);
        queue_.wake();
    }
    // A read of at most DirectRead::kMostBlocks blocks, made by the caller's thread through its own
    // queue while the shard's sleeps or does other things. False: something isn't at hand, or isn't
    // right, and the shard has to be asked; the op's data may have been written.
    bool read_inline(PageOp& op, IoQueue& queue, DirectRead& direct);
    // Whoever polls the shard holds it.
    ShardLock& lock() { return lock_; }
    MapPort& map_port() { return map_port_; }
    const Counters& counters() const { return counters_; }
    bool failed() const override { return failed_.load(std::memory_order_relaxed); }
    // Goes up with each piece of a request that ends.
    std::uint64_t ended() const { return ended_.load(std::memory_order_relaxed); }
    std::uint64_t blocks_used_now() const { return counters_.get(Counter::used_blocks); }
    // A page of the table is not what it should be.
    bool table_damaged() const { return table_damaged_.load(std::memory_order_relaxed); }
    // For a snapshot: every page that is dirty by now is to be written back. Returns the number
    // that sweeps_done() reaches when it is; the drives then still need a flush.
    std::uint64_t ask_sweep() {
        const std::uint64_t number = sweeps_asked_.fetch_add(1, std::memory_order_acq_rel) + 1;
        queue_.wake();
        return number;
    }
    // Everything that recovery found is in the table by now.
    bool patched() const { return patched_.load(std::memory_order_acquire); }
    std::uint64_t sweeps_done() const { return sweeps_done_.load(std::memory_order_acquire); }

    // --- the shard's thread ---
    bool poll() override;
    bool busy() const override;
    // Draining: what is in RAM is committed and published. Flushing: the table is written back.
    void begin(Phase) override { closing_ = true; }
    bool done_with(Phase phase) override;

    std::uint32_t index() const { return index_; }

    // --- set-up ---
    void set_patches(std::vector<Patch> patches) {
        patched_ = patches.empty();
        cache_.set_patches(std::move(patches));
    }
    void set_read_only(std::vector<Patch> patches, bool whole_table) {
        cache_.set_read_only(std::move(patches), whole_table);
    }
    void set_recovered(const RecoveredBlocks* recovered) { recovered_ = recovered; }
    void memory(std::uint64_t& cache, std::uint64_t& segments, std::uint64_t& overlay) const;

  private:
    // A segment's slots while it is open (tombstones are packed from the end):
    //
    //   0            journaled        fill                 slots - tombstone blocks
    //   |  in a record  |  in pending_  |       room          |  tombstones   |
    //
    // Sealed, `journaled` stands still: what is between it and `fill` bypasses the TPS, or is in
    // the span, which goes into the next record.
    struct RamSegment : SegmentBuffer {
        using SegmentBuffer::SegmentBuffer;
        std::uint32_t journaled = 0;  // slots that are in a TPS record, or were when it was sealed
        std::uint32_t trims_journaled = 0;
        std::uint32_t trims_unapplied = 0;  // durable or not, and not yet in the table
        std::uint64_t hold_record = 0;      // not to be committed before this record is durable
        std::uint64_t last_record = 0;      // newest record with blocks of it
        bool awaits_record = false;         // hold_record is not known yet
        bool sealed = false;
        bool committing = false;
        bool committed = false;
    };
    struct PublishItem : PageWaiter {
        Shard* shard = nullptr;
        RamSegment* segment = nullptr;
        std::uint32_t slot = 0;
    };
    struct ReadChunk {
        BlockRead read;
        PageOp* op = nullptr;
        std::uint32_t first_block = 0;  // of the op
        ReadChunk* next = nullptr;
    };
    struct Span {  // slots [from, to) of a sealed segment go into the next record
        RamSegment* segment = nullptr;
        std::uint32_t from = 0;
        std::uint32_t to = 0;
    };

    // shard.cpp
    bool take_mail();
    void dispatch(PageOp& op);
    void finish(PageOp& op);
    static void note_failure(PageOp& op, Errc error, Lba lba);
    void finish_failed(PageOp& op, Errc error, Lba lba);
    void fail_everything();
    bool pump_flushes();
    bool rests() const;
    bool has_mail() const { return !mailbox_.empty() || !map_port_.mailbox.empty(); }
    bool drained() const;

    // append.cpp
    bool pump_writes();
    bool prepare(PageOp& op);
    void look_before_trim(PageOp& op, const CachedPage* cached);
    bool merges_unjournaled(const PageOp& op) const;
    bool any_trim_unapplied() const;
    void start_merge(PageOp& op);
    bool append(PageOp& op);
    bool append_trim(PageOp& op);
    void append_block(PageOp& op, std::uint32_t index);
    bool open_has_room_or_next();
    bool can_open_next() const;
    void open_next();
    void seal_full(PageOp& op, std::uint32_t end);
    void seal();
    bool make_ring_room(const Placement& frontier);
    bool journal();
    void record_acked(OpFifo ops, bool good);
    bool start_commits();

    // publish.cpp
    bool advance_durable();
    bool publish();
    void publish_slot(RamSegment& segment, std::uint32_t slot, CachedPage* cached);
    void publish_done();
    void apply_trim(PageOp& op);
    void trim_page(PageOp& op, CachedPage* cached);
    bool take_batches();
    void answer(MapItem& item, CachedPage* cached);
    void damaged_page();
    bool sweep();
    bool fetch_patched();

    // read.cpp
    void look_for_data(PageOp& op);
    void tell_mapped(PageOp& op, const CachedPage* cached);
    void start_read(PageOp& op);
    bool pump_reads();
    void read_page(PageOp& op, CachedPage* cached);
    bool read_block(PageOp& op, const PmtEntry* entries);
    bool read_without_drive(PageOp& op, const PmtEntry* entries);
    void take_run(PageOp& op, BlockRead& run, const PmtEntry* entries);
    void start_chunk(PageOp& op, ReadChunk& chunk, const PmtEntry* entries);
    void chunk_done(ReadChunk& chunk);
    static void deliver_run(PageOp& op, std::uint32_t first_block, const BlockRead& run);
    static void deliver(PageOp& op, std::uint32_t block, const std::byte* from);
    void end_read(PageOp& op);

    // direct_read.cpp
    bool look(PageOp& op, DirectRead& direct);
    bool transfer(DirectRead& direct, IoQueue& queue);

    RamSegment& segment(std::uint64_t sequence) { return *segments_[sequence % kRamSegments]; }
    RamSegment& open() { return segment(open_sequence_); }
    const RamSegment& open() const { return *segments_[open_sequence_ % kRamSegments]; }

    ShardLock lock_;
    const ArrayContext& array_;
    const std::uint32_t index_;
    BandTable& bands_;
    SpaceGate& gate_;
    SpaceGate::Rest& rest_;
    std::atomic<std::uint64_t>& next_version_;
    IoQueue& queue_;
    Counters counters_;
    Mailbox<PageOp> mailbox_;
    MapPort map_port_;
    PageCache cache_;
    BlockReader reader_;
    Committer committer_;
    Tps tps_;
    Overlay overlay_;
    Buffer memory_;  // RAM segments, then read chunks

    // Segments by sequence s, which lies at segments_[s % kRamSegments]. The cursors only rise:
    //
    //   sequence   ... 40 | 41  42 | 43  44  45 | 46  | 47
    //   state        free | (1)    | (2)        | (3) | being filled
    //
    //   published_sequence_ == 40    (1) durable: publish() enters them into the PMT's pages
    //   durable_sequence_ == 42      (2) with the committer, or committed before an earlier one
    //   commit_cursor_ == 46         (3) sealed, waits for a record that it must not precede
    //   open_sequence_ == 47
    //
    // published <= durable < commit_cursor <= open + 1, and open - published <= kRamSegments: the
    // RAM of 40 is what 48 will get. The committer ends segments in any order, but they become
    // durable here in the order of sequence, since TPS space is freed from the oldest on, and are
    // published in that order: an entry has no version, so of two writes the last one published
    // stays.
    std::vector<std::unique_ptr<RamSegment>> segments_;
    std::uint64_t open_sequence_ = 1;
    std::uint64_t durable_sequence_ = 0;
    std::uint64_t published_sequence_ = 0;
    std::uint64_t commit_cursor_ = 1;  // next to be handed to the committer

    OpFifo writes_;     // not yet appended, in order; trims, too
    OpFifo pending_;    // appended, the newest blocks in no record yet
    OpFifo in_commit_;  // wait for durable_sequence_
    Span span_;

    std::vector<PublishItem> publish_items_;
    Fifo<PageWaiter> idle_publish_;
    std::uint32_t publish_slot_ = 0;
    std::uint32_t publishing_ = 0;
    std::uint32_t trims_applying_ = 0;

    std::vector<ReadChunk> chunks_;
    Fifo<ReadChunk> idle_chunks_;
    OpFifo reads_;  // wait for a chunk
    const RecoveredBlocks* recovered_ = nullptr;

    Buffer merge_memory_;  // the two partial blocks of the write at the front
    PageOp merge_reads_[2];
    std::uint32_t merges_pending_ = 0;
    bool merge_failed_ = false;
    bool trim_waiting_ = false;

    OpFifo flushes_;
    PageOp* flushing_ = nullptr;
    std::uint64_t in_flight_[2] = {0, 0};  // writes and trims, by the phase in which they came
    std::uint8_t phase_ = 0;

    std::atomic<std::uint64_t> sweeps_asked_{0};
    std::atomic<std::uint64_t> sweeps_done_{0};
    std::uint64_t sweeping_ = 0;  // the sweep under way; 0: none

    // Written by the shard's thread, read by any.
    std::atomic<std::uint64_t> ended_{0};
    std::atomic<bool> failed_{false};
    std::atomic<bool> table_damaged_{false};
    std::atomic<bool> patched_{true};
    bool closing_ = false;
};

}  // namespace qlcshape
