#include "recovery/table_build.h"

#include <algorithm>

namespace qlcshape {

namespace {

class Pass {
  public:
    Pass(const ArrayContext& array, std::uint64_t first_page, std::uint64_t pages)
        : array_(array), first_lba_(first_page * kPageEntries), best_(pages * kPageEntries) {}

    void consider(const Finding& c) {
        const std::uint64_t from = std::max(c.lba.value, first_lba_);
        const std::uint64_t to = std::min(c.lba.value + c.blocks, first_lba_ + best_.size());
        for (std::uint64_t lba = from; lba < to; ++lba) best_[lba - first_lba_].consider(c);
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
};

}  // namespace

Result<TableTotals> build_table(const ArrayContext& array, const std::vector<SegmentRange>& bands,
                                SegmentScan& scan, const SeePage& page, const Progress& progress) {
    TableTotals totals;
    totals.valid.resize(array.layout.bands);
    totals.tombstones.resize(array.layout.bands);
    const std::uint64_t pages = array.layout.pmt_pages;
    const std::uint64_t most = kTableBuildBytes / sizeof(Best) / kPageEntries;
    for (std::uint64_t first = 0; first < pages; first += most) {
        const std::uint64_t n = std::min(most, pages - first);
        Pass pass(array, first, n);
        const auto see = [&](const Finding& c) { pass.consider(c); };
        for (std::size_t i = 0; i < bands.size(); ++i) {
            QS_TRY(scan_entries(array, bands[i], scan, see, totals.scanned,
                                first == 0 ? &totals.tombstones : nullptr));
            if (progress && i % 64 == 0) {
                const double done = static_cast<double>(i) / static_cast<double>(bands.size());
                progress("rebuilding the table",
                         100 * (static_cast<double>(first) + done * static_cast<double>(n)) /
                             static_cast<double>(pages));
            }
        }
        QS_TRY(pass.finish(first, page, totals));
    }
    return totals;
}

}  // namespace qlcshape
