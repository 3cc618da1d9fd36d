// SPDX-License-Identifier: Apache-2.0
// The bitmap of the table, as it is on media after a power cut: no bit may be there before its page
// is. The other half, that no snapshot is there before the bits, shows in what volumes read.
#include <fmt/format.h>

#include "format/bitmap_page.h"
#include "format/pmt_page.h"
#include "sim/sim_history.h"

namespace qlcshape::sim {

void History::judge_bitmap() {
    if (!crashed_ || opened_ == 0 || members_get_older() || !result_.violation.empty()) return;
    const ArrayLayout& l = world_.faults().layout();
    const auto scm = [&](std::uint32_t i) -> Media& { return *media_[l.p.qlc_count + i]; };
    PmtEntry entries[kPageEntries];
    for (std::uint64_t n = 0; n < 2 * l.bitmap_pages * l.p.scm_count; ++n) {
        const std::uint64_t number = n / 2 % l.bitmap_pages;
        Media& m = scm(static_cast<std::uint32_t>(n / 2 / l.bitmap_pages));
        if (&m == behind_) continue;
        BitmapPage bits(m.bytes.get() + l.bitmap_page_offset(number, n));
        if (!bits.valid(array_id_, number)) continue;
        for (std::uint64_t bit = 0; bit < kBitmapPageBits; ++bit) {
            if ((bits.words()[bit / 64] >> bit % 64 & 1) == 0) continue;
            const PageId page(number * kBitmapPageBits + bit);
            for (std::uint32_t copy = 0; copy < l.p.pmt_copies; ++copy) {
                const Media& has = scm(l.pmt_drive(page, copy));
                const std::uint64_t offset = l.pmt_page_offset(page, copy);
                if (spoilt_pages_.contains(page.value) || has.damaged(offset, kBlockBytes) ||
                    &has == behind_)
                    continue;
                if (decode_pmt_page(has.bytes.get() + offset, page, array_id_, entries)) continue;
                violate(
                    fmt::format("the bitmap says that page {} of the table was written, and {} has "
                                "no such page",
                                page.value, has.name));
                return;
            }
        }
    }
}

// A page of bits that is whole nowhere.
void History::lose_bitmap() {
    const ArrayLayout& l = world_.faults().layout();
    const std::uint64_t page = rng_.below(l.bitmap_pages);
    for (std::uint32_t i = 0; i < l.p.scm_count; ++i) {
        for (std::uint64_t place = 0; place < 2; ++place) {
            media_[l.p.qlc_count + i]
                ->bytes.get()[l.bitmap_page_offset(page, place) + rng_.below(kBlockBytes)] ^=
                std::byte{1};
        }
    }
}

}  // namespace qlcshape::sim
