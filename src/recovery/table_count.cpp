// SPDX-License-Identifier: Apache-2.0
#include "recovery/table_count.h"

#include <algorithm>

namespace qlcshape {

bool count_table(const ArrayContext& array, const TableBitmap& bitmap,
                 const std::vector<Patch>& patches, IoQueue& queue, TableTotals& totals) {
    constexpr std::uint64_t kAtOnce = 256;
    const ArrayLayout& l = array.layout;
    Buffer blocks(kAtOnce * kBlockBytes);
    std::vector<PmtEntry> entries(kPageEntries);
    std::vector<Io> ios;
    auto patch = patches.begin();
    totals.used_blocks = 0;
    std::ranges::fill(totals.valid, 0u);
    for (std::uint64_t first = 0; first < l.pmt_pages; first += kAtOnce) {
        const std::uint64_t n = std::min(kAtOnce, l.pmt_pages - first);
        ios.clear();
        for (std::uint64_t i = 0; i < n; ++i) {
            if (!bitmap.written(PageId(first + i))) continue;
            ios.push_back(
                array.pmt_io(IoKind::read, PageId(first + i), blocks.data() + i * kBlockBytes));
        }
        if (!run(queue, ios)) return false;
        for (std::uint64_t i = 0; i < n; ++i) {
            std::uint32_t generation;
            if (!bitmap.written(PageId(first + i)))
                std::ranges::fill(entries, PmtEntry{});
            else if (!array.decode_page(blocks.data() + i * kBlockBytes, PageId(first + i),
                                        entries.data(), generation))
                return false;
            for (; patch != patches.end() && page_of(patch->lba).value == first + i; ++patch)
                entries[patch->lba.value % kPageEntries] = patch->entry;
            for (const PmtEntry& entry : entries) {
                if (!entry.mapped()) continue;
                const std::uint32_t band = l.band_of(entry.pba(l)).value;
                ++totals.used_blocks;
                ++totals.valid[band];
            }
        }
    }
    return true;
}

}  // namespace qlcshape
