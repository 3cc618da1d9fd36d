// SPDX-License-Identifier: Apache-2.0
#include "recovery/table_build.h"

#include <algorithm>
#include <array>
#include <mutex>

namespace qlcshape {

namespace {

class Pass {
  public:
    Pass(const ArrayContext& array, std::uint64_t first_page, std::uint64_t pages)
        : array_(array), first_lba_(first_page * kPageEntries), best_(pages * kPageEntries) {}

    // From any thread. All of a finding lies in one page, and a pass takes whole pages.
    void consider(const Finding& c) {
        const std::uint64_t at = c.lba.value - first_lba_;
        if (c.lba.value < first_lba_ || at >= best_.size()) return;
        std::lock_guard lock(locks_[page_of(c.lba).value % locks_.size()]);
        for (std::uint64_t i = at; i < at + c.blocks; ++i) best_[i].consider(c);
    }

    Status finish(std::uint64_t first_page, const SeePage& page, TableTotals& totals) {
        std::vector<PmtEntry> entries(kPageEntries);
        std::vector<Version> versions(kPageEntries);
        for (std::uint64_t i = 0; i < best_.size(); i += kPageEntries) {
            for (std::uint32_t j = 0; j < kPageEntries; ++j) {
                const PmtEntry entry = best_[i + j].entry;
                entries[j] = entry;
                versions[j] = Version(best_[i + j].version);
                if (!entry.mapped()) continue;
                ++totals.used_blocks;
                ++totals.valid[array_.layout.band_of(entry.pba(array_.layout)).value];
            }
            QS_TRY(page(PageId(first_page + i / kPageEntries), entries.data(), versions.data()));
        }
        return {};
    }

  private:
    const ArrayContext& array_;
    std::uint64_t first_lba_;
    std::vector<Best> best_;
    std::array<std::mutex, 1024> locks_;  // by page: threads rarely meet
};

}  // namespace

Result<TableTotals> build_table(const ArrayContext& array, const std::vector<SegmentRange>& bands,
                                const Team& team, std::uint64_t memory_bytes, const SeePage& page,
                                const Progress& progress) {
    TableTotals totals;
    totals.valid.resize(array.layout.bands);
    totals.tombstones.resize(array.layout.bands);
    const std::uint64_t pages = array.layout.pmt_pages;
    const std::uint64_t most =
        std::max(kTableBuildBytes, memory_bytes) / sizeof(Best) / kPageEntries;
    for (std::uint64_t first = 0; first < pages; first += most) {
        const std::uint64_t n = std::min(most, pages - first);
        Pass pass(array, first, n);
        const auto scanned = scan_entries(
            array, bands, team, [&](std::uint32_t, const Finding& c) { pass.consider(c); },
            // Tombstones are counted by band, whatever LBAs they cover: once, not in each pass.
            first == 0 ? &totals.tombstones : nullptr,
            [&](double share) {
                if (!progress) return;
                progress("rebuilding the table",
                         100 * (static_cast<double>(first) + share * static_cast<double>(n)) /
                             static_cast<double>(pages));
            });
        if (!scanned) return fail(scanned.error());
        totals.scanned.add(*scanned);
        QS_TRY(pass.finish(first, page, totals));
    }
    return totals;
}

}  // namespace qlcshape
