#include "recovery/table_build.h"

#include <algorithm>
#include <array>
#include <atomic>
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
    std::array<std::mutex, 1024> locks_;
};

// One pass over all headers, each part of the team over a share of the bands.
Status scan_all(const ArrayContext& array, const std::vector<SegmentRange>& bands, const Team& team,
                Pass& pass, TableTotals& totals, std::vector<std::uint32_t>* tombstones,
                const std::function<void(double)>& progress) {
    struct Part {
        Status status;
        ScanTotals scanned;
    };
    std::vector<Part> parts(team.parts);
    std::atomic<std::size_t> done{0};
    const auto see = [&](const Finding& c) { pass.consider(c); };
    team.run([&](std::uint32_t number, IoQueue& queue) {
        Part& part = parts[number];
        SegmentScan scan(array, queue);
        for (std::size_t i = number; i < bands.size() && part.status; i += team.parts) {
            part.status = scan_entries(array, bands[i], scan, see, part.scanned, tombstones);
            const std::size_t n = ++done;
            if (number == 0) progress(static_cast<double>(n) / static_cast<double>(bands.size()));
        }
    });
    for (const Part& part : parts) {
        QS_TRY(part.status);
        totals.scanned.segments += part.scanned.segments;
        totals.scanned.max_version = std::max(totals.scanned.max_version, part.scanned.max_version);
    }
    return {};
}

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
        QS_TRY(scan_all(
            array, bands, team, pass, totals, first == 0 ? &totals.tombstones : nullptr,
            [&](double share) {
                if (!progress) return;
                progress("rebuilding the table",
                         100 * (static_cast<double>(first) + share * static_cast<double>(n)) /
                             static_cast<double>(pages));
            }));
        QS_TRY(pass.finish(first, page, totals));
    }
    return totals;
}

}  // namespace qlcshape
