// SPDX-License-Identifier: Apache-2.0
// The part of a request that lies in one PMT page, and so belongs to one shard. Intrusive: it is in
// one list at a time and knows its own progress; memory is the request's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/canary.h"
#include "base/types.h"
#include "pmt/page_cache.h"
#include "qlcshape/error.h"

namespace qlcshape {

enum class OpKind : std::uint8_t { read, write, trim, flush, mapped };

struct PageOp : PageWaiter {
    PageOp* mail_next = nullptr;
    PageOp* next_op = nullptr;

    OpKind kind = OpKind::read;
    Lba first;                    // block of the first byte
    std::uint32_t blocks = 0;     // touched, whole or in part; all in one PMT page
    std::uint32_t head_skip = 0;  // bytes of the first block before the range
    std::uint64_t bytes = 0;      // of the range
    // A write without data writes zeroes; `mapped` sets one byte a block.
    std::byte* data = nullptr;
    void (*done)(PageOp&) = nullptr;
    void* context = nullptr;

    // Outcome.
    bool failed = false;
    Errc error = Errc::io_error;
    Lba bad_lba;

    // The shard's.
    Version version;
    std::uint32_t progress = 0;  // blocks appended, or begun to read
    std::uint32_t reads_pending = 0;
    std::uint64_t wait_segment = 0;             // durable when this segment is
    struct RamSegment* trim_segment = nullptr;  // holds its tombstone
    // Of its first and its last block, where it covers these in part: once they were read.
    const std::byte* old_contents = nullptr;
    std::uint8_t flush_phase = 0;
    bool checked = false;  // trim: the table was looked at
    bool needed = false;   // trim: and there is something to trim

    bool atomic() const {
        return kind == OpKind::write && bytes <= kAtomicWriteBytes &&
               !canary(Canary::split_atomic) &&
               !(canary(Canary::split_unaligned) && blocks == kAtomicWriteBlocks);
    }
    std::uint32_t tail_bytes() const {  // of the last block that belong to the range
        return static_cast<std::uint32_t>(head_skip + bytes -
                                          std::uint64_t{blocks - 1} * kBlockBytes);
    }
    bool head_partial() const { return head_skip != 0 || (blocks == 1 && bytes < kBlockBytes); }
    bool tail_partial() const { return blocks > 1 && tail_bytes() != kBlockBytes; }
    void note_failure(Errc why, Lba lba) {
        failed = true;
        error = why;
        bad_lba = lba;
    }
};

// A first-in first-out list of operations.
class OpFifo {
  public:
    bool empty() const { return head_ == nullptr; }
    PageOp& front() { return *head_; }
    void push_back(PageOp& op) {
        op.next_op = nullptr;
        (head_ == nullptr ? head_ : tail_->next_op) = &op;
        tail_ = &op;
    }
    PageOp& pop_front() {
        PageOp& op = *head_;
        head_ = op.next_op;
        return op;
    }
    OpFifo take() {
        OpFifo all = *this;
        head_ = nullptr;
        return all;
    }

  private:
    PageOp* head_ = nullptr;
    PageOp* tail_ = nullptr;
};

}  // namespace qlcshape
