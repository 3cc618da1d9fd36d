// SPDX-License-Identifier: Apache-2.0
#include "recovery/entry_scan.h"

#include <algorithm>
#include <atomic>

#include "format/tombstone.h"

namespace qlcshape {

namespace {

class EntryScan {
  public:
    EntryScan(const ArrayContext& array, const SegmentRange& range, SegmentScan& scan,
              std::uint32_t part, const SeeFinding& see, ScanTotals& totals)
        : l_(array.layout), range_(range), scan_(scan), part_(part), see_(see), totals_(totals) {}

    Status run() {
        // Headers by the batch first, since nearly all are whole. A rebuild reads all drives.
        std::vector<std::uint32_t> unread;
        QS_TRY(scan_.headers(range_.band, range_.sequence, range_.from, range_.to,
                             [&](std::uint32_t segment, const SegmentHeader* header) {
                                 if (header != nullptr)
                                     see_header(segment, *header);
                                 else
                                     unread.push_back(segment);
                             }));
        for (const std::uint32_t segment : unread) {
            const SegmentHeader* header =
                scan_.rebuilt_header(range_.band, range_.sequence, segment);
            if (header == nullptr) {
                return fail(scan_.lost(
                    range_.band, segment, "its header",
                    "which blocks are lost is not known, so the table can't be rebuilt"));
            }
            see_header(segment, *header);
        }
        for (const TrimSlot& t : trims_) QS_TRY(see_trims(t));
        return {};
    }

    std::uint32_t tombstones() const { return tombstones_; }

  private:
    struct TrimSlot {
        std::uint32_t segment = 0;
        std::uint32_t slot = 0;
        Entry entry;
    };

    void see_header(std::uint32_t segment, const SegmentHeader& header) {
        ++totals_.segments;
        totals_.max_version = std::max(totals_.max_version, header.fixed().max_version);
        for (std::uint32_t slot = 0; slot < l_.slots_per_segment; ++slot) {
            const Entry e = header.entry(slot);
            switch (e.kind) {
                case EntryKind::empty:
                    break;
                case EntryKind::data:
                    see_(part_,
                         {e.lba, 1, e.version, range_.sequence,
                          PmtEntry::make_mapped(l_, l_.pba(range_.band, segment, slot), e.crc)});
                    break;
                case EntryKind::poisoned:
                    ++tombstones_;
                    see_(part_, {e.lba, 1, e.version, range_.sequence,
                                 PmtEntry::make_unmapped(Unmapped::poisoned, e.version)});
                    break;
                case EntryKind::tombstones:
                    ++tombstones_;
                    trims_.push_back({segment, slot, e});
                    break;
            }
        }
    }

    // Everything is checked before the first is reported: a block that is half right is damaged.
    Status see_trims(const TrimSlot& t) {
        const std::byte* block =
            scan_.read_block(range_.band, range_.sequence, t.segment, t.slot, t.entry);
        constexpr const char* kWhat = "a block of tombstones";
        constexpr const char* kHarm =
            "trimmed blocks might reappear, so the table can't be rebuilt";
        if (block == nullptr) return fail(scan_.lost(range_.band, t.segment, kWhat, kHarm));
        const std::uint32_t count = tombstone_count(block);
        bool good = count != 0;
        for (std::uint32_t i = 0; i < count; ++i)
            good &= page_of(load_tombstone(block, i).lba).value < l_.pmt_pages;
        if (!good) return fail(SegmentScan::damaged(range_.band, t.segment, kWhat, kHarm));
        for (std::uint32_t i = 0; i < count; ++i) {
            const Tombstone trim = load_tombstone(block, i);
            see_(part_, {trim.lba, trim.blocks, trim.version, range_.sequence,
                         PmtEntry::make_unmapped(Unmapped::trimmed, trim.version)});
        }
        return {};
    }

    const ArrayLayout& l_;
    const SegmentRange& range_;
    SegmentScan& scan_;
    const std::uint32_t part_;
    const SeeFinding& see_;
    ScanTotals& totals_;
    std::vector<TrimSlot> trims_;
    std::uint32_t tombstones_ = 0;
};

}  // namespace

Result<ScanTotals> scan_entries(const ArrayContext& array, const std::vector<SegmentRange>& ranges,
                                const Team& team, const SeeFinding& see,
                                std::vector<std::uint32_t>* tombstones,
                                const std::function<void(double)>& progress) {
    struct Part {
        Status status;
        ScanTotals scanned;
    };
    std::vector<Part> parts(team.parts);
    std::atomic<std::size_t> done{0};
    team.run([&](std::uint32_t number, IoQueue& queue) {
        Part& part = parts[number];
        SegmentScan scan(array, queue);
        const std::size_t end = ranges.size() * (number + 1) / team.parts;
        for (std::size_t i = ranges.size() * number / team.parts; i < end && part.status; ++i) {
            EntryScan walk(array, ranges[i], scan, number, see, part.scanned);
            part.status = walk.run();
            if (tombstones != nullptr) (*tombstones)[ranges[i].band.value] += walk.tombstones();
            const std::size_t n = ++done;
            if (number == 0) progress(static_cast<double>(n) / static_cast<double>(ranges.size()));
        }
    });
    ScanTotals totals;
    for (const Part& part : parts) {
        QS_TRY(part.status);
        totals.add(part.scanned);
    }
    return totals;
}

}  // namespace qlcshape
