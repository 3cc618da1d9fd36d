// SPDX-License-Identifier: Apache-2.0
// A page of the PMT: whatever its entries are, each that is mapped leads to a slot of a band. With
// kSeal the input is the entries, and our own encoder makes the page.
#include "format/pmt_page.h"

#include "base/buffer.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    fuzz::Input input(data, size);
    const auto mode = input.take<std::uint8_t>();
    const ArrayLayout& l = fuzz::layout_for(mode);
    const PageId id(7);
    Buffer block(kBlockBytes), memory(kBlockBytes);
    auto* entries = reinterpret_cast<PmtEntry*>(memory.data());
    if ((mode & fuzz::kSeal) != 0) {
        input.take(memory.span());
        for (std::uint32_t i = 0; i < kPageEntries; ++i) entries[i].bits &= ~PmtEntry::kTrailer;
        encode_pmt_page(entries, id, fuzz::array_uuid(), 1, block.data());
    } else {
        input.take(block.span());
    }
    if (!decode_pmt_page(block.data(), id, fuzz::array_uuid(), entries)) {
        QS_ASSERT((mode & fuzz::kSeal) == 0);
        return 0;
    }
    if (!pmt_entries_fit(entries, l)) return 0;
    for (std::uint32_t i = 0; i < kPageEntries; ++i) {
        const PmtEntry e = entries[i];
        if (e.mapped()) {
            const Pba pba = e.pba(l);
            QS_ASSERT(l.band_of(pba).value < l.bands && l.slot_of(pba) < l.slots_per_segment);
            QS_ASSERT(e == PmtEntry::make_mapped(l, pba,
                                                 static_cast<std::uint32_t>(e.bits >> l.pba_bits)));
        } else {
            QS_ASSERT(e.reason() <= Unmapped::poisoned);
            QS_ASSERT(e == PmtEntry::make_unmapped(e.reason(), e.version()));
        }
    }
    return 0;
}
