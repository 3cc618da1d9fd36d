// SPDX-License-Identifier: Apache-2.0
// Writes and trims of a shard that are not yet in a segment, in the order in which they came. Only
// the front is worked on: one that has to wait holds up all behind it. Their order is that of the
// versions, and between a merge's reading and its append nothing else may be appended.
//
//   push() -> front: what must be known is read -> SegmentPipeline::append()
//                 |    partial blocks: their old contents
//                 |    trim: whether there is anything to trim
//                 +--> ends here: nothing to trim, or old contents that are lost
//
// Which stream a write goes to would be decided here. On the shard's thread.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "shard/pipeline.h"
#include "shard/reads.h"
#include "shard/shard_context.h"

namespace qlcshape {

class WriteQueue {
  public:
    WriteQueue(ShardContext& shard, Reads& reads, SegmentPipeline& pipeline);

    void push(PageOp& op) { writes_.push_back(op); }
    // Appends what can be appended; true if anything happened.
    bool pump();
    bool empty() const { return writes_.empty(); }
    // The front does not wait for the table or a drive.
    bool rests() const { return !look_pending_ && merges_pending_ == 0; }
    // All fail; not while the front waits for what it reads, which comes to an end first.
    void fail_all();

    std::uint64_t memory_bytes() const { return merge_memory_.size(); }

  private:
    bool ready(PageOp& op);
    bool trim_ready(PageOp& op);
    void look_before_trim(PageOp& op, const CachedPage* cached);
    bool bypasses(Lba lba) const;
    bool merges_unjournaled(const PageOp& op) const;
    void start_merge(PageOp& op);
    void merge_read(PageOp& read);

    ShardContext& shard_;
    Reads& reads_;
    SegmentPipeline& pipeline_;
    OpFifo writes_;

    // Of the front.
    Buffer merge_memory_;  // the old contents of its first and of its last block
    PageOp merge_reads_[2];
    std::uint32_t merges_pending_ = 0;
    bool merge_failed_ = false;
    bool look_pending_ = false;
};

}  // namespace qlcshape
