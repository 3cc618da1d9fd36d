// SPDX-License-Identifier: Apache-2.0
// What must hold of every layout that make_layout() gives out.
#pragma once

#include "base/assert.h"
#include "format/layout.h"

namespace qlcshape::fuzz {

inline void use_layout(const ArrayLayout& l) {
    const ArrayParameters& p = l.p;
    QS_ASSERT(l.slots_per_segment > 0 && l.segments_per_band >= 4);
    QS_ASSERT(l.slots_per_segment + l.header_blocks == l.blocks_per_segment);
    QS_ASSERT(std::uint64_t{l.segments_per_band} * p.strip_bytes == p.band_bytes);
    QS_ASSERT(l.slots_per_band() / l.segments_per_band == l.slots_per_segment);
    QS_ASSERT(l.bands > l.reserve_bands && l.reserve_bands > l.recovery_bands);
    const BandId last(l.bands - 1);
    QS_ASSERT(l.slot_offset(l.drive_slots() - 1) <= p.qlc_bytes - p.band_bytes);
    const Pba pba = l.pba(last, l.segments_per_band - 1, l.slots_per_segment - 1);
    QS_ASSERT(pba.value >> l.pba_bits == 0 && l.pba_bits + l.crc_bits <= 62);
    QS_ASSERT(l.band_of(pba) == last && l.segment_of(pba) == l.segments_per_band - 1);
    QS_ASSERT(l.slot_of(pba) == l.slots_per_segment - 1);
    // A promise of no more than there is, and not less than a tenth of it.
    const std::uint64_t slots = std::uint64_t{l.bands - l.reserve_bands} * l.slots_per_band();
    QS_ASSERT(l.writable_blocks < slots && l.writable_blocks + kPageEntries > slots / 10);
    QS_ASSERT(l.pmt_pages * kPageEntries <= std::uint64_t{1} << kLbaBits);
    QS_ASSERT(l.band_table_pages * l.bands_per_page() >= l.bands);
    QS_ASSERT(l.bitmap_pages * kBitmapPageBits >= l.pmt_pages);
    QS_ASSERT(p.max_bands >= l.bands && l.is_slot(pba));
    QS_ASSERT(!l.is_slot(Pba(pba.value + 1)));
    // In any order, but none overlaps another.
    const Region used[] = {
        {0, 2 * l.scm_superblock_unit_bytes},
        {l.band_table_offset, l.band_table_pages * 2 * kBlockBytes},
        {l.snapshot_offset, 2 * l.snapshot_bytes},
        {l.bitmap_offset, l.bitmap_pages * 2 * kBlockBytes},
        {l.tps_offset, l.tps_bytes},
        {l.pmt_offset, (l.pmt_pages + p.scm_count - 1) / p.scm_count * kBlockBytes}};
    for (const Region& a : used) {
        QS_ASSERT(a.offset <= p.scm_bytes && a.bytes <= p.scm_bytes - a.offset);
        for (const Region& b : used)
            QS_ASSERT(&a == &b || a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset);
    }
    QS_ASSERT(l.pmt_page_offset(PageId(l.pmt_pages - 1)) <= p.scm_bytes - kBlockBytes);
    QS_ASSERT(l.tps_ring_offset(p.max_shards, p.max_shards) <= l.tps_offset + l.tps_bytes);
}

}  // namespace qlcshape::fuzz
