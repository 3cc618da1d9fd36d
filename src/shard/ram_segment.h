// SPDX-License-Identifier: Apache-2.0
// A user stream's segment in RAM, from its first block until the table has all of it. Belongs to a
// pipeline (pipeline.h); the overlay knows it by its index among all of the shard's.
//
// Its slots while it is open (tombstones are packed from the end):
//
//   0            journaled        fill                 slots - tombstone blocks
//   |  in a record  |  in no record  |       room          |  tombstones   |
//
// Sealed, `journaled` stands still: what is between it and `fill` bypasses the TPS, or is in the
// pipeline's span, which goes into the next record.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "segment/segment_buffer.h"

namespace qlcshape {

struct RamSegment : SegmentBuffer {
    RamSegment(const ArrayLayout& layout, std::span<std::byte> memory, std::uint32_t number)
        : SegmentBuffer(layout, memory), index(number) {}

    const std::uint32_t index;    // among all of the shard's
    std::uint32_t journaled = 0;  // slots that are in a TPS record, or were when it was sealed
    std::uint32_t trims_journaled = 0;
    std::uint32_t trims_unapplied = 0;  // durable or not, and not yet in the table
    std::uint64_t hold_record = 0;      // not to be committed before this record is durable
    std::uint64_t last_record = 0;      // newest record with blocks of it
    bool awaits_record = false;         // hold_record is not known yet
    bool sealed = false;
    bool committed = false;      // on the drives
    bool durable = false;        // and so are all before it
    std::uint32_t entered = 0;   // slots that the publisher has begun with
    std::uint32_t entering = 0;  // of these, those whose page it waits for

    // Begins again, empty.
    void open(std::uint64_t new_sequence) {
        reset();
        sequence = new_sequence;
        journaled = trims_journaled = 0;
        hold_record = last_record = 0;
        QS_ASSERT(trims_unapplied == 0 && entering == 0);
        awaits_record = sealed = committed = durable = false;
        entered = 0;
    }
    // What is in `slot` bypasses the TPS, and is not durable before the segment is.
    bool bypasses(std::uint32_t slot) const { return sealed && !durable && slot >= journaled; }
};

// A shard's, of all its streams: RamPlace::segment is an index.
using RamSegments = std::vector<RamSegment>;

inline bool any_trim_unapplied(const RamSegments& segments) {
    return std::ranges::any_of(segments, [](const auto& s) { return s.trims_unapplied != 0; });
}

}  // namespace qlcshape
