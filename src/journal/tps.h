// SPDX-License-Identifier: Apache-2.0
// A shard's part of the TPS: a ring of records on every scm drive, the same bytes on each. A record
// is acknowledged when it is durable on all of them, in the order of sequence. Space comes back
// when all segments that a record has blocks in are committed, and a durable record says so. On the
// shard's thread.
//
// Positions are bytes ever used; modulo ring_bytes_ they are places in the ring:
//
//        durable_tail_             tail_                    head_
//   ----------+----------------------+------------------------+---------> bytes ever used
//     free    |  superfluous: their  |  needed: some segment  |  free: the next record
//             |  segments are durable|  is not durable yet    |  begins here
//             |  but recovery may    |                        |
//             |  still ask for them  |  head_ - durable_tail_ <= ring_bytes_
//
// Why durable_tail_: recovery takes the tail from the newest records, and demands every record from
// there up to the highest acked_through. Say records 1 to 3 are of a segment that is durable now,
// and record 4, which names tail 1, is the newest. If a cut came while 1 is overwritten, recovery
// would find an acknowledged record torn, and refuse to open. Once record 5, which names tail 4, is
// durable on every mirror, recovery asks for 4 and later ones only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/buffer.h"
#include "base/counters.h"
#include "format/tps_record.h"
#include "segment/segment_buffer.h"

namespace qlcshape {

class Tps {
  public:
    static constexpr std::uint32_t kRecords = 4;  // in flight at once

    // Slots [from, to) of a segment in RAM.
    struct Piece {
        const SegmentBuffer* segment = nullptr;
        std::uint32_t from = 0;
        std::uint32_t to = 0;
        std::uint32_t count() const { return to - from; }
    };
    struct Contents {
        std::array<Piece, 2> pieces;  // one, or two where a write spans two segments
        const SegmentBuffer* trims = nullptr;
        std::uint32_t first_trim = 0, last_trim = 0;  // [first, last)
        std::uint64_t last_segment = 0;               // the newest segment that any of it lies in
        Placement frontier;
        bool awaited = false;  // a sealed segment is not committed before it is durable
        std::uint32_t blocks() const { return pieces[0].count() + pieces[1].count(); }
        std::uint32_t entries() const { return blocks() + last_trim - first_trim; }
    };

    Tps(const ArrayContext& array, std::uint32_t shard, IoQueue& queue, Counters& counters);

    bool record_free() const;
    // There is space that a record without entries would bring back: one that names the new tail.
    // With one in flight it may bring back the same, so that is awaited first.
    bool space_to_tell() const { return tail_ != durable_tail_ && idle(); }
    bool ring_has_room(const Contents& contents) const;
    // Writes a record and returns its sequence. `acked` is called with it once the record is
    // durable, in the order of sequence; `good` is false where it, or one before it, failed.
    std::uint64_t write(const Contents& contents);
    std::function<void(std::uint64_t sequence, bool good)> acked;

    bool poll();
    std::uint64_t acked_through() const { return acked_through_; }
    bool idle() const { return oldest_ == next_; }

    // All segments up to `segment` are committed: records that need no later one are free.
    void release(std::uint64_t segment);

    // A mirror gets every record from now on, and none before. It is as good as the others when
    // nothing before is needed (old_ones_free()), and a durable record says so (renewed()).
    void begin_renewal() { renewal_ = {next_, head_}; }
    void old_ones_free();
    bool renewed() const { return durable_tail_ >= renewal_.head; }

    std::uint64_t memory_bytes() const { return headers_.size(); }

  private:
    struct Record {
        std::uint64_t sequence = 0;
        std::uint32_t pending = 0;
        bool failed = false;
        std::uint64_t tail = 0;
        std::array<iovec, 3> parts;  // the header and the pieces
        std::vector<Io> ios;         // one a mirror
    };
    // The ring up to `end` serves segments up to `segment`; `sequence` is its last record there.
    // One per newest segment, in order: release() finds the tail without looking at records.
    struct Use {
        std::uint64_t segment = 0;
        std::uint64_t end = 0;
        std::uint64_t sequence = 0;
    };

    struct Mark {
        std::uint64_t sequence = 1;
        std::uint64_t head = 0;
    };

    std::uint64_t record_bytes(const Contents& contents) const;
    std::uint64_t start_of(std::uint64_t bytes) const;
    void encode(const Contents& contents, TpsRecord& header, std::uint64_t position);
    void submit(Record& record, const Contents& contents, std::byte* header,
                std::uint64_t position);
    void note_use(std::uint64_t segment);
    Record& record(std::uint64_t sequence) { return records_[sequence % kRecords]; }
    const Record& record(std::uint64_t sequence) const { return records_[sequence % kRecords]; }

    const ArrayContext& array_;
    const std::uint32_t shard_;
    IoQueue& queue_;
    Counters& counters_;
    const std::uint64_t ring_bytes_;
    const std::uint64_t ring_offset_;
    std::uint64_t header_capacity_;
    std::uint64_t largest_record_;
    Buffer headers_;
    std::array<Record, kRecords> records_;
    std::uint64_t oldest_ = 1;  // sequences oldest_ .. next_ - 1 are in flight
    std::uint64_t next_ = 1;
    std::uint64_t acked_through_ = 0;
    std::uint64_t head_ = 0;  // bytes ever used; modulo ring_bytes_ the place of the next record
    std::uint64_t tail_ = 0;  // nothing before is needed
    std::uint64_t durable_tail_ = 0;  // and a durable record says so of this
    std::uint64_t tail_sequence_ = 1;
    std::array<Use, kRamSegments + 2> uses_;
    std::size_t uses_begin_ = 0, uses_count_ = 0;
    Mark renewal_;
    bool failed_ = false;
};

}  // namespace qlcshape
