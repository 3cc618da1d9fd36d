// SPDX-License-Identifier: Apache-2.0
// The way of one stream's segments: append, seal, journal, commit, publish. One pipeline for each
// user stream of a shard; that of GC is in gc/target.cpp. A segment goes
//
//   append() -> [sealed] -> start_commits() -> advance_durable() -> publish()
//
// and the writes in it are acknowledged by a record of the TPS (journal()) or, where they complete
// a segment, by its commit. What each step waits for is in this class alone: callers offer every
// step as often as they like, in any order, and get whether anything happened.
//
// Segments by sequence s, which lies at segments_[s % kRamSegments]. The cursors only rise:
//
//   sequence   ... 40 | 41  42 | 43  44  45 | 46  | 47
//   state        free | (1)    | (2)        | (3) | being filled
//
//   published_sequence_ == 40    (1) durable: the publisher enters them into the PMT's pages
//   durable_sequence_ == 42      (2) with the committer, or committed before an earlier one
//   commit_cursor_ == 46         (3) sealed, waits for a record that it must not precede
//   open_sequence_ == 47
//
// published <= durable < commit_cursor <= open + 1, and open - published <= kRamSegments: the RAM
// of 40 is what 48 will get. The committer ends segments in any order, but they become durable here
// in the order of sequence, since TPS space is freed from the oldest on, and are published in that
// order: an entry has no version, so of two writes the last one published stays.
//
// A request's way through the lists, from the shard's queue of writes; each PageOp is in one of
// them:
//
//   queue --append--> pending_ --journal--> in_record_ --record_acked--> done
//             |                                      |  a part of it bypassed the TPS
//             +------ all of it bypasses the TPS ---> in_commit_ --advance_durable--> done
//
// A trim has one more step before `done`: the publisher applies it to its page.
//
// Which drives a segment goes to, and how many, only the committer knows; where a record goes, only
// the TPS. On the shard's thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "journal/tps.h"
#include "segment/committer.h"
#include "shard/publisher.h"
#include "shard/ram_segment.h"
#include "shard/shard_context.h"

namespace qlcshape {

class SegmentPipeline {
  public:
    // `segments`: those of the shard's that are this stream's.
    SegmentPipeline(ShardContext& shard, Stream stream,
                    std::span<RamSegment, kRamSegments> segments, Tps& tps, Publisher& publisher);

    // Appends the first of these writes and trims, as much as goes. True when all of it is in, and
    // it is in a list here.
    bool append(OpFifo& writes);
    // Nothing more will come: what is open is sealed as it is.
    bool seal_rest();
    bool journal();
    bool start_commits();
    bool poll_commits() { return committer_.poll(); }
    bool advance_durable();
    bool publish();

    // For a mirror of the TPS that gets only what is written from now on: no record from before is
    // needed when renew() is true. What is open is sealed for that.
    void begin_renewal();
    bool renew();

    // A record of this pipeline's has ended.
    void record_acked(std::uint64_t record, bool good);
    // What waits for no record; the others end by record_acked().
    void fail_all();

    // Nothing of it is under way: everything waits for a place, or is published.
    bool rests() const { return committer_.rests() && published_sequence_ == durable_sequence_; }
    // But for what is in the open segment.
    bool all_published() const { return published_sequence_ + 1 == open_sequence_; }
    bool open_empty() const { return open().empty(); }
    bool failed() const { return committer_.failed(); }

  private:
    struct Span {  // slots [from, to) of a sealed segment go into the next record
        RamSegment* segment = nullptr;
        std::uint32_t from = 0;
        std::uint32_t to = 0;
    };

    bool append_write(PageOp& op);
    void append_block(const PageOp& op, std::uint32_t index);
    bool append_trim(PageOp& op);
    bool can_open_next() const { return open_sequence_ - published_sequence_ < kRamSegments; }
    void open_next();
    bool open_has_room_or_next();
    void seal();
    void seal_full(const PageOp& op, std::uint32_t end);
    bool make_ring_room(const Placement& frontier);
    bool tell_tail(const Placement& frontier);
    void acknowledge(OpFifo ops);
    void published(RamSegment& segment);

    RamSegment& segment(std::uint64_t sequence) { return segments_[sequence % kRamSegments]; }
    RamSegment& open() { return segment(open_sequence_); }
    const RamSegment& open() const { return segments_[open_sequence_ % kRamSegments]; }

    ShardContext& shard_;
    const std::span<RamSegment, kRamSegments> segments_;
    Tps& tps_;
    Publisher& publisher_;
    Committer committer_;

    std::uint64_t open_sequence_ = 1;
    std::uint64_t durable_sequence_ = 0;
    std::uint64_t published_sequence_ = 0;
    std::uint64_t commit_cursor_ = 1;   // next to be handed to the committer
    std::uint64_t renewed_before_ = 0;  // the newest segment that records may be of

    OpFifo pending_;                               // appended, the newest blocks in no record yet
    OpFifo in_commit_;                             // wait for durable_sequence_
    std::array<OpFifo, Tps::kRecords> in_record_;  // by its sequence: wait for that record
    Span span_;
};

}  // namespace qlcshape
