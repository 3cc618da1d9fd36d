#include "recovery/table_build.h"

#include <algorithm>

#include "base/canary.h"
#include "format/tombstone.h"

namespace qlcshape {

namespace {

struct Best {
    std::uint64_t version = 0;
    std::uint64_t sequence = 0;  // of the band
    PmtEntry entry;
};
static_assert(sizeof(Best) == 24);

class Pass {
  public:
    Pass(const ArrayContext& array, std::uint64_t first_page, std::uint64_t pages, bool first_pass,
         TableTotals& totals)
        : array_(array),
          first_lba_(first_page * kPageEntries),
          best_(pages * kPageEntries),
          first_pass_(first_pass),
          totals_(totals) {}

    Status see_band(const CountingBand& band, SegmentScan& scan) {
        std::vector<std::uint32_t> unread;
        std::vector<std::pair<std::uint32_t, std::uint32_t>> trims;  // segment, slot
        std::vector<Entry> trim_entries;
        auto see = [&](std::uint32_t segment, const SegmentHeader& header) {
            ++totals_.segments_read;
            totals_.max_version = std::max(totals_.max_version, header.fixed().max_version);
            for (std::uint32_t slot = 0; slot < array_.layout.slots_per_segment; ++slot) {
                const Entry e = header.entry(slot);
                if (e.kind == EntryKind::tombstones) {
                    trims.emplace_back(segment, slot);
                    trim_entries.push_back(e);
                } else {
                    see_entry(band, segment, slot, e);
                }
            }
        };
        QS_TRY(scan.headers(band.band, band.sequence, 0, band.segments,
                            [&](std::uint32_t segment, const SegmentHeader* header) {
                                if (header != nullptr)
                                    see(segment, *header);
                                else
                                    unread.push_back(segment);
                            }));
        for (std::uint32_t segment : unread) {
            const SegmentHeader* header = scan.rebuilt_header(band.band, band.sequence, segment);
            if (header == nullptr) {
                return fail(
                    Errc::damaged,
                    "band {} segment {}: its header is damaged and can't be rebuilt from the other "
                    "strips; which blocks are lost is not known, so the table can't be rebuilt",
                    band.band.value, segment);
            }
            see(segment, *header);
        }
        for (std::size_t i = 0; i < trims.size(); ++i) {
            QS_TRY(see_trims(band, trims[i].first, trims[i].second, trim_entries[i], scan));
        }
        return {};
    }

    Status finish(std::uint64_t first_page, const SeePage& page) {
        std::vector<PmtEntry> entries(kPageEntries);
        std::vector<Version> versions(kPageEntries);
        for (std::uint64_t i = 0; i < best_.size(); i += kPageEntries) {
            for (std::uint32_t j = 0; j < kPageEntries; ++j) {
                const PmtEntry entry = best_[i + j].entry;
                entries[j] = entry;
                versions[j] = Version(best_[i + j].version);
                if (!entry.mapped()) continue;
                ++totals_.used_blocks;
                ++totals_.valid[array_.layout.band_of(entry.pba(array_.layout)).value];
            }
            QS_TRY(page(PageId(first_page + i / kPageEntries), entries.data(), versions.data()));
        }
        return {};
    }

  private:
    void see_entry(const CountingBand& band, std::uint32_t segment, std::uint32_t slot,
                   const Entry& e) {
        if (e.kind == EntryKind::empty) return;
        if (e.kind == EntryKind::poisoned && first_pass_) ++totals_.tombstones[band.band.value];
        const ArrayLayout& l = array_.layout;
        consider(e.lba, e.version, band.sequence,
                 e.kind == EntryKind::data
                     ? PmtEntry::make_mapped(l, l.pba(band.band, segment, slot), e.crc)
                     : PmtEntry::make_unmapped(Unmapped::poisoned, e.version));
    }

    Status see_trims(const CountingBand& band, std::uint32_t segment, std::uint32_t slot,
                     const Entry& e, SegmentScan& scan) {
        if (first_pass_) ++totals_.tombstones[band.band.value];
        const std::byte* block = scan.read_block(band.band, band.sequence, segment, slot, e);
        if (block == nullptr) {
            return fail(
                Errc::damaged,
                "band {} segment {}: a block of tombstones is damaged and can't be rebuilt from "
                "the "
                "other strips; trimmed blocks might come back, so the table can't be rebuilt",
                band.band.value, segment);
        }
        for (std::uint32_t i = 0; i < tombstone_count(block); ++i) {
            const Tombstone t = load_tombstone(block, i);
            for (std::uint32_t j = 0; j < t.blocks; ++j) {
                consider(Lba(t.lba.value + j), t.version, band.sequence,
                         PmtEntry::make_unmapped(Unmapped::trimmed, t.version));
            }
        }
        return {};
    }

    // The newest wins. Of GC's source and copy the source does, as long as its band counts: then a
    // copy that was cut off half way holds nothing that is needed.
    void consider(Lba lba, Version version, std::uint64_t sequence, PmtEntry entry) {
        if (lba.value < first_lba_ || lba.value - first_lba_ >= best_.size()) return;
        Best& best = best_[lba.value - first_lba_];
        if ((version.value < best.version && !canary(Canary::replay_in_band_order)) ||
            (version.value == best.version && sequence >= best.sequence))
            return;
        best = Best{version.value, sequence, entry};
    }

    const ArrayContext& array_;
    std::uint64_t first_lba_;
    std::vector<Best> best_;
    bool first_pass_;
    TableTotals& totals_;
};

}  // namespace

Result<TableTotals> build_table(const ArrayContext& array, const std::vector<CountingBand>& bands,
                                SegmentScan& scan, const SeePage& page, const Progress& progress) {
    TableTotals totals;
    totals.valid.resize(array.layout.bands);
    totals.tombstones.resize(array.layout.bands);
    const std::uint64_t pages = array.layout.pmt_pages;
    const std::uint64_t most = kTableBuildBytes / sizeof(Best) / kPageEntries;
    for (std::uint64_t first = 0; first < pages; first += most) {
        const std::uint64_t n = std::min(most, pages - first);
        Pass pass(array, first, n, first == 0, totals);
        for (std::size_t i = 0; i < bands.size(); ++i) {
            QS_TRY(pass.see_band(bands[i], scan));
            if (progress && i % 64 == 0) {
                const double done = static_cast<double>(i) / static_cast<double>(bands.size());
                progress("rebuilding the table",
                         100 * (static_cast<double>(first) + done * static_cast<double>(n)) /
                             static_cast<double>(pages));
            }
        }
        QS_TRY(pass.finish(first, page));
    }
    return totals;
}

}  // namespace qlcshape
