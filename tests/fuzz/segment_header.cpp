// SPDX-License-Identifier: Apache-2.0
// A segment's header with its entries, used as the rebuilding of the table and GC do: each LBA is
// one of the table's, and each slot has a PBA.
#include "format/segment_header.h"

#include "base/buffer.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    fuzz::Input input(data, size);
    const auto mode = input.take<std::uint8_t>();
    const ArrayLayout& l = fuzz::layout_for(mode);
    Buffer memory(l.header_blocks * kBlockBytes);
    input.take(memory.span());
    SegmentHeader header(l, memory.data());
    const BandId band(5);
    const std::uint32_t segment = 3;
    if ((mode & fuzz::kSeal) != 0) {
        header.fixed().array = fuzz::array_uuid();
        header.fixed().band = band.value;
        header.fixed().segment = segment;
        header.seal();
    }
    if (!header.valid(fuzz::array_uuid(), band, segment)) return 0;
    QS_ASSERT(header.fixed().frontier <= l.segments_per_band);
    for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
        const Entry e = header.entry(slot);
        const Pba pba = l.pba(band, segment, slot);
        QS_ASSERT(l.band_of(pba) == band && l.slot_of(pba) == slot);
        if (e.kind == EntryKind::empty) continue;
        QS_ASSERT(page_of(e.lba).value < l.pmt_pages);
        QS_ASSERT(e.version.value <= header.fixed().max_version);
    }
    QS_ASSERT(header.fixed().max_version >> kVersionBits == 0);
    return 0;
}
