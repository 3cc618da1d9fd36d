// SPDX-License-Identifier: Apache-2.0
// What segments that lack strips hold, or that lie behind one that does: recovery commits it again,
// and read-only serves it from memory. Kept in memory as it was proved.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/error.h"
#include "format/band_page.h"
#include "format/entry.h"
#include "format/tombstone.h"
#include "placement/array_context.h"
#include "recovery/segment_scan.h"

namespace qlcshape {

struct TailBlocks {
    std::vector<std::pair<Entry, std::vector<std::byte>>> blocks;  // data, and poisoned entries
    std::vector<Tombstone> trims;

    void take(const Entry& entry, const std::byte* block);
    std::size_t slots() const;  // to commit all

    // Leaves out what recoveries since the newest snapshot, that of epoch `since`, met in the same
    // segments and committed to bands of their own. A band record tells only after the epoch began
    // how many of the band's segments count: cuts in a row between these two steps would have the
    // same blocks committed each time, until no band is free.
    Status drop_committed(const ArrayContext& array, const std::vector<BandRecord>& records,
                          std::uint64_t since, SegmentScan& scan);
};

}  // namespace qlcshape
