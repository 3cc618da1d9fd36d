// SPDX-License-Identifier: Apache-2.0
#include "recovery/table_count.h"

#include <algorithm>

#include "recovery/page_copies.h"

namespace qlcshape {

Result<TableCount> count_table(const TableCountInput& in, TableTotals& totals) {
    constexpr std::uint64_t kAtOnce = 256;
    const ArrayLayout& l = in.array.layout;
    PageCopies copies(in.array, in.queue, kAtOnce);
    std::vector<PmtEntry> entries(kPageEntries);
    std::vector<PageId> written;
    TableCount count;
    auto patch = in.patches.begin();
    totals.used_blocks = 0;
    std::ranges::fill(totals.valid, 0u);
    for (std::uint64_t first = 0; first < l.pmt_pages; first += kAtOnce) {
        const std::uint64_t n = std::min(kAtOnce, l.pmt_pages - first);
        written.clear();
        for (std::uint64_t i = 0; i < n; ++i) {
            if (in.bitmap.written(PageId(first + i))) written.push_back(PageId(first + i));
        }
        copies.read(written);
        std::size_t at = 0;
        for (std::uint64_t i = 0; i < n; ++i) {
            if (!in.bitmap.written(PageId(first + i))) {
                std::ranges::fill(entries, PmtEntry{});
            } else {
                const PageCopies::Seen seen = copies.see(at, entries.data());
                if (!seen.good) return count;
                if (seen.damaged.device != nullptr) {
                    ++count.damaged;
                    count.damaged_on = seen.damaged.device->path();
                }
                if (!seen.alike && in.mend) QS_TRY(copies.mend(at));
                ++at;
            }
            for (; patch != in.patches.end() && page_of(patch->lba).value == first + i; ++patch)
                entries[patch->lba.value % kPageEntries] = patch->entry;
            for (const PmtEntry& entry : entries) {
                if (!entry.mapped()) continue;
                const std::uint32_t band = l.band_of(entry.pba(l)).value;
                ++totals.used_blocks;
                ++totals.valid[band];
            }
        }
    }
    count.good = true;
    return count;
}

}  // namespace qlcshape
