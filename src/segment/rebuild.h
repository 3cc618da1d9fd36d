// SPDX-License-Identifier: Apache-2.0
// Rebuilds a part of one strip from the same part of the others, and proves it. Tries the drive in
// question alone first, then together with each other one, since a second strip may be wrong
// without an error. One rebuild at a time; slow, and rare while all drives are there.
//
// P and Q are computed for each byte offset on its own, so a block needs only the blocks at the
// same offset of the other strips. Two of these k + 2 can be computed from the others, but parity
// doesn't say which two are wrong. The checksum does, so pairs are tried until it fits:
//
//   k = 8, role 3 wrong         attempts
//   all ten drives answer       as read; without 3; without 3 and 0, 3 and 1, ..., 3 and 9
//   5 missing or unreadable     as read; without 3 and 5
//   5 and 9 missing             as read; then it is lost
//
// A wrong guess passes the checksum with a probability of 2^-32.
//
// Where that fails, and drives could not read their part, each of them is asked for another block:
// one that can't read that either is gone (Device::silent()), others have a place that is
// unreadable. If no more are gone than parity covers, all of it is tried once more, since a drive
// may have been away for a moment. After a failure drives_away() says whether the block may come
// back with drives: GC must not give it up then. That is asked of this failure's probe and of no
// later moment: the drives may answer again before anybody looks.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/buffer.h"
#include "format/segment_header.h"
#include "placement/array_context.h"

namespace qlcshape {

// What a block must be, by the segment's header.
struct BlockIdentity {
    BandId band;
    std::uint64_t sequence = 0;  // the band's: a header of another life of the band is void
    std::uint32_t segment = 0;
    std::uint32_t slot = 0;
    Lba lba;
};

class Rebuild {
  public:
    Rebuild(const ArrayContext& array, IoQueue& queue);

    // Gets the block, whatever drive it lies on: first the segment's header (read, or itself
    // rebuilt), which has the checksum that proves the block; then the block. `done(good)` from
    // IoQueue::poll(), and may begin the next rebuild; until then the block is at result().
    void block(const BlockIdentity& id, std::function<void(bool good)> done);
    // Gets only the header blocks of a segment, at header(). Not `good`, and an intact header of
    // that place there: this program can't read it (SegmentHeader::unknown()).
    void header_of(BandId band, std::uint64_t sequence, std::uint32_t segment,
                   std::function<void(bool good)> done);

    bool busy() const { return busy_; }
    // After a failure: a drive of the stripe is missing, or could not read anything.
    bool drives_away() const { return drives_away_; }
    const std::byte* result() const { return result_; }
    SegmentHeader header() const { return SegmentHeader(array_.layout, header_.data()); }
    std::uint64_t memory_bytes() const { return rows_.size() + header_.size(); }

  private:
    using Proof = std::function<bool(const std::byte* row)>;
    // Reads bytes [offset, offset + bytes) of every strip of the stripe that is there.
    void read_rows(std::uint64_t offset, std::uint64_t bytes, void (Rebuild::*then)());
    void rows_read();
    void leave_kept_rows();
    void solve_header();
    void solve_block();
    bool solve(std::uint32_t role, const Proof& proof);
    bool attempt(std::uint32_t role, std::uint32_t second, const Proof& proof);
    std::byte* row(std::uint32_t role) const { return rows_.data() + role * row_capacity_; }
    std::byte* scratch(std::uint32_t role) const;
    void finish(bool good);
    void start();
    void probe();
    void probed();
    void end(bool good);

    const ArrayContext& array_;
    IoQueue& queue_;
    std::uint32_t width_;
    std::uint64_t row_capacity_;
    Buffer rows_;  // width rows as read, then two rows to solve into
    Buffer header_;
    std::vector<Io> ios_;
    std::vector<bool> there_;  // by role: the row was read
    void (Rebuild::*then_)() = nullptr;
    BlockIdentity id_;
    bool header_only_ = false;
    bool again_ = false;  // this is the second attempt
    bool drives_away_ = false;
    std::uint64_t bytes_ = 0;
    std::uint32_t pending_ = 0;
    const std::byte* result_ = nullptr;
    std::function<void(bool)> done_;
    bool busy_ = false;
};

}  // namespace qlcshape
