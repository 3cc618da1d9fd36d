// SPDX-License-Identifier: Apache-2.0
#include "recovery/check.h"

#include <algorithm>

#include "base/buffer.h"
#include "base/error.h"
#include "meta/band_load.h"
#include "meta/bitmap_store.h"
#include "recovery/page_copies.h"
#include "recovery/segment_scan.h"
#include "recovery/table_build.h"

namespace qlcshape {

namespace {

constexpr std::size_t kProblemsNamed = 100;

class Check {
  public:
    Check(const ArrayContext& array, const Superblock& superblock, IoQueue& queue,
          const Progress& progress)
        : array_(array),
          l_(array.layout),
          superblock_(superblock),
          queue_(queue),
          progress_(progress),
          scan_(array, queue) {}

    Result<CheckReport> run_all() {
        report_.clean_close = superblock_.state == ArrayState::clean;
        auto loaded = load_band_table(array_, queue_);
        if (!loaded) {
            problem(loaded.error().message);
            return report_;
        }
        records_ = std::move(loaded->records);
        for (const MemberRecord& m : superblock_.members) {
            const bool missing = m.role == DeviceRole::qlc && array_.qlc[m.index] == nullptr;
            if (!missing || m.kept_out == MemberRecord::kRemoved) continue;
            problem("qlc drive {} is missing: {}", m.index,
                    array_.columns->taken_on(m.index) == 0
                        ? "no band has anything on it"
                        : "its contents can be rebuilt from the others");
        }
        for (std::uint32_t drive = 0; drive < array_.scm.size(); ++drive) {
            if (array_.scm_in(drive)) continue;
            problem(
                "scm drive {} is missing, or was when the array was last open: the newest "
                "writes and the table are not on it",
                drive);
        }
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            if (progress_) progress_("checking stripes", 100.0 * i / l_.bands);
            check_band(BandId(i), records_[i]);
        }
        // A lost segment would make every entry that leads to it look wrong: named once is enough.
        if (report_.clean_close && !lost_segments_) QS_TRY(check_table());
        return report_;
    }

  private:
    template <class... Args>
    void problem(fmt::format_string<Args...> text, Args&&... args) {
        problem(fmt::format(text, std::forward<Args>(args)...));
    }
    void problem(std::string text) {
        ++report_.problems_found;
        if (report_.problems.size() < kProblemsNamed) report_.problems.push_back(printable(text));
    }

    void check_band(BandId band, const BandRecord& r) {
        if (!r.counts()) return;
        ++report_.bands;
        for (std::uint32_t segment = 0; segment < r.segments; ++segment)
            check_segment(band, r.sequence, segment);
        counting_.push_back({band, r.sequence, 0, r.segments});
    }

    void check_segment(BandId band, std::uint64_t sequence, std::uint32_t segment) {
        ++report_.segments;
        ++report_.stripes;
        const Proof proof = scan_.prove(band, sequence, segment);
        if (proof == Proof::unread) {
            lost_segments_ = true;
            problem(
                "band {} segment {}: {} don't answer, and too few others have a part of it; "
                "reconnect the drives",
                band.value, segment, scan_.silent_drives());
            return;
        }
        if (proof == Proof::unknown) {
            lost_segments_ = true;
            problem("{}", scan_.unknown().message);
            return;
        }
        if (proof == Proof::unproved) {
            lost_segments_ = true;
            problem("band {} segment {}: more is damaged than P and Q can reconstruct", band.value,
                    segment);
            return;
        }
        for (const auto& [drive, offset] : scan_.wrong_strips()) {
            if (array_.qlc[drive] == nullptr) continue;  // named once
            problem(
                "{} at offset {}: the strip of band {} segment {} is not what was written; it can "
                "be rebuilt",
                array_.qlc[drive]->path(), offset, band.value, segment);
        }
        const SegmentHeader header = scan_.header();
        for (std::uint32_t slot = 0; slot < l_.slots_per_segment; ++slot) {
            if (header.entry(slot).kind != EntryKind::empty) ++report_.blocks;
        }
    }

    Status check_table() {
        PageCopies copies(array_, queue_, 1);
        std::vector<PmtEntry> entries(kPageEntries);
        TableBitmap bitmap(l_);
        const LoadedBitmap loaded = load_bitmap(array_, bitmap, queue_);
        for (const std::uint64_t n : loaded.lost) {
            problem(
                "{} at offset {}: page {} of the table's bitmap is damaged, in both places and on "
                "every scm drive; the next opening rebuilds the table",
                array_.an_scm_drive().path(), l_.bitmap_page_offset(n, 0), n);
        }
        // What the table says can't be told then.
        if (!loaded.lost.empty()) return {};
        auto page = [&](PageId id, const PmtEntry* expected, const Version*) -> Status {
            if (!bitmap.written(id)) {
                std::ranges::fill(entries, PmtEntry{});
                compare(id, entries.data(), expected);
                return {};
            }
            copies.read({&id, 1});
            const PageCopies::Seen seen = copies.see(0, entries.data());
            if (seen.damaged.device != nullptr) {
                problem("{} at offset {}: page {} of the table is damaged",
                        seen.damaged.device->path(), seen.damaged.offset, id.value);
            } else if (!seen.alike) {
                problem("page {} of the table is not the same on the scm drives that have it",
                        id.value);
            }
            if (seen.good) compare(id, entries.data(), expected);
            return {};
        };
        auto totals = build_table(array_, counting_, team_of_one(queue_), 0, page, progress_);
        if (!totals) return fail(totals.error());
        compare_counts(*totals);
        return {};
    }

    // Of GC's source and copy the table may lead to either; both bands count, and the version is
    // the same.
    void compare(PageId id, const PmtEntry* have, const PmtEntry* expected) {
        for (std::uint32_t i = 0; i < kPageEntries; ++i) {
            ++report_.pmt_entries;
            const bool same_state = have[i].mapped() == expected[i].mapped();
            if (have[i] == expected[i]) continue;
            if (same_state && have[i].mapped() &&
                is_copy(Lba(id.value * kPageEntries + i), have[i], expected[i]))
                continue;
            problem("table page {} entry {}: it is {:#x}, by the headers it should be {:#x}",
                    id.value, i, have[i].bits, expected[i].bits);
        }
    }

    bool is_copy(Lba lba, PmtEntry have, PmtEntry expected) {
        Version versions[2];
        const PmtEntry both[2] = {have, expected};
        for (int i = 0; i < 2; ++i) {
            const Pba pba = both[i].pba(l_);
            if (!l_.is_slot(pba)) return false;
            const BandId band = l_.band_of(pba);
            const SegmentHeader* header =
                scan_.rebuilt_header(band, records_[band.value].sequence, l_.segment_of(pba));
            if (header == nullptr) return false;
            const Entry e = header->entry(l_.slot_of(pba));
            if (e.kind != EntryKind::data || e.lba != lba || !both[i].crc_matches(l_, e.crc))
                return false;
            versions[i] = e.version;
        }
        return versions[0] == versions[1];
    }

    // A block whose copy GC made and then lost to a crash may be counted in either band: only the
    // sum over all bands is exact.
    void compare_counts(const TableTotals& totals) {
        std::uint64_t expected = 0, have = 0;
        bool valid_is_estimate = false;
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            expected += totals.valid[i];
            const bool counts = records_[i].counts();
            have += counts ? records_[i].valid : 0;
            valid_is_estimate |= counts && records_[i].valid_is_estimate();
        }
        if (expected != have && !valid_is_estimate) {
            problem("band table: it counts {} valid blocks, by the headers there are {}", have,
                    expected);
        }
    }

    const ArrayContext& array_;
    const ArrayLayout& l_;
    const Superblock& superblock_;
    IoQueue& queue_;
    const Progress& progress_;
    SegmentScan scan_;
    std::vector<BandRecord> records_;
    std::vector<SegmentRange> counting_;
    CheckReport report_;
    bool lost_segments_ = false;  // the headers don't tell the whole table
};

}  // namespace

Result<CheckReport> check_array(const ArrayContext& array, const Superblock& superblock,
                                IoQueue& queue, const Progress& progress) {
    return Check(array, superblock, queue, progress).run_all();
}

}  // namespace qlcshape
