// SPDX-License-Identifier: Apache-2.0
// A table brought up to date with what came after a snapshot: the newest of each block counts,
// wherever it is.
#include "recovery/table_update.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <unordered_map>
#include <vector>

#include "shard_rig.h"
#include "two_mirrors.h"

using namespace qlcshape;

// A copy that GC had in flight may be proved whole and be kept in memory, though its block was
// trimmed long before the crash: of that trim the table alone tells.
TEST_CASE("table update: a trim in the table is weighed against what is in memory") {
    TwoMirrors mirrors;
    ArrayContext& array = mirrors.array;
    array.qlc.resize(array.layout.p.qlc_count);
    constexpr std::uint64_t kTrimmed = 7;
    std::vector<PmtEntry> entries(kPageEntries);
    for (std::uint64_t lba = 0; lba < 4; ++lba)
        entries[lba] = PmtEntry::make_unmapped(Unmapped::trimmed, Version(kTrimmed));
    const PageId page(0);
    encode_pmt_page(
        entries.data(), page, array.array, 1,
        mirrors.media[array.layout.pmt_drive(page)].data() + array.layout.pmt_page_offset(page));

    Snapshot snapshot;
    snapshot.next_version = 8;
    snapshot.next_band_sequence = 1;
    const std::vector<BandRecord> bands(array.layout.bands);
    std::unordered_map<std::uint64_t, Version> in_memory;
    in_memory[0] = Version(kTrimmed - 1);
    in_memory[1] = Version(kTrimmed);
    in_memory[2] = Version(kTrimmed + 1);
    in_memory[4] = Version(1);  // never written, as the table has it
    const Team team = team_of_one(mirrors.queue);
    SegmentScan scan(array, mirrors.queue);
    TableBitmap bitmap(array.layout);
    bitmap.set_written(page);
    const auto updated = update_table({array, snapshot, bands, bands, in_memory, false, true, 1000,
                                       team, scan, bitmap, mirrors.queue, nullptr});
    REQUIRE(updated);
    CHECK_FALSE(updated->impossible);
    std::vector<std::uint64_t> superseded = updated->superseded;
    std::sort(superseded.begin(), superseded.end());
    CHECK(superseded == std::vector<std::uint64_t>{0, 1});
}

namespace {

constexpr std::uint64_t kWritten = 100;  // the version of the first segment's blocks, 0 to 30

// Two segments of one band: blocks from 0 on, and then block 0 again. What the table has of them
// the test says.
struct TwoSegments : ShardRig {
    std::uint32_t slots = array.layout.slots_per_segment;
    std::vector<PmtEntry> table{kPageEntries};
    Snapshot snapshot;
    std::vector<BandRecord> before{array.layout.bands};  // as the band table has them

    TwoSegments() {
        next_version = kWritten;
        write_blocks(0, slots, 1);
        write_blocks(0, 1, 2);
        write_blocks(100, slots - 1, 3);
        run();
        REQUIRE(bands->record_of(BandId(0)).segments == 2);
        snapshot.next_version = 1000;
        snapshot.next_band_sequence = 2;
        snapshot.open = {{0, 0, 1}};
    }
    std::byte* page() { return scm->at(array.layout.pmt_page_offset(PageId(0))); }
    // From then on `table` is what the drive has.
    TableUpdate update(bool leave_patches) {
        encode_pmt_page(table.data(), PageId(0), array.array, 1, page());
        std::vector<BandRecord> decided(array.layout.bands);
        decided[0] = bands->record_of(BandId(0));
        decided[0].state = BandState::closed;
        const Team team = team_of_one(queue);
        SegmentScan scan(array, queue);
        auto updated = update_table({array,
                                     snapshot,
                                     decided,
                                     before,
                                     {},
                                     leave_patches,
                                     false,
                                     1000,
                                     team,
                                     scan,
                                     *bitmap,
                                     queue,
                                     nullptr});
        REQUIRE(updated);
        REQUIRE_FALSE(updated->impossible);
        std::uint32_t generation = 0;
        REQUIRE(array.decode_page(page(), PageId(0), table.data(), generation));
        return std::move(*updated);
    }
    PmtEntry in_segment(std::uint32_t segment, std::uint32_t slot) {
        const Location at = array.locate(BandId(0), segment, 0);
        const SegmentHeader header(array.layout, qlc[at.drive]->at(at.offset));
        return PmtEntry::make_mapped(array.layout, array.layout.pba(BandId(0), segment, slot),
                                     header.entry(slot).crc);
    }
};

}  // namespace

TEST_CASE("table update: a trim in the table stays where segments have only older blocks") {
    const bool leave_patches = GENERATE(false, true);
    CAPTURE(leave_patches);
    TwoSegments rig;
    const PmtEntry newer = PmtEntry::make_unmapped(Unmapped::trimmed, Version(kWritten + 50));
    rig.table[1] = newer;
    rig.table[2] = PmtEntry::make_unmapped(Unmapped::trimmed, Version(kWritten - 50));
    CHECK(rig.update(leave_patches).patches.empty());  // nothing is newer than the snapshot
    CHECK(rig.table[1] == newer);
    CHECK(rig.table[2] == rig.in_segment(0, 2));
    CHECK(rig.table[0] == rig.in_segment(1, 0));
}

TEST_CASE("table update: a block that the table has as lost is data where a segment has it") {
    const bool leave_patches = GENERATE(false, true);
    TwoSegments rig;
    rig.table[1] = PmtEntry::make_unmapped(Unmapped::poisoned, Version(kWritten));
    rig.table[2] = PmtEntry::make_unmapped(Unmapped::poisoned, Version(kWritten + 50));
    const PmtEntry lost = rig.table[2];
    rig.update(leave_patches);
    CHECK(rig.table[1] == rig.in_segment(0, 1));
    CHECK(rig.table[2] == lost);
}

TEST_CASE("table update: a block in the table gives way to a newer one, and to no older one") {
    TwoSegments rig;
    // The first segment was in the table when the snapshot began.
    rig.snapshot.open[0].published = 1;
    rig.table[0] = rig.in_segment(0, 0);
    rig.table[1] = rig.in_segment(0, 1);
    rig.update(false);
    CHECK(rig.table[0] == rig.in_segment(1, 0));
    CHECK(rig.table[1] == rig.in_segment(0, 1));
    CHECK(rig.table[100] == rig.in_segment(1, 1));
}

// A drive that was out wrote its strip of the second segment late: so that is whole, though the
// band had ended before it, and was closed, when the snapshot began.
TEST_CASE("table update: what recovery keeps of a band that had ended is in the table") {
    TwoSegments rig;
    rig.snapshot.open.clear();
    rig.before[0] = rig.bands->record_of(BandId(0));
    rig.before[0].segments = 1;
    const PmtEntry trimmed = PmtEntry::make_unmapped(Unmapped::trimmed, Version(kWritten - 50));
    rig.table[1] = rig.in_segment(0, 1);
    rig.table[100] = trimmed;
    const bool ended = GENERATE(true, false);
    rig.before[0].state = ended ? BandState::open : BandState::closed;
    rig.update(false);
    CHECK(rig.table[100] == (ended ? rig.in_segment(1, 1) : trimmed));
    CHECK(rig.table[1] == rig.in_segment(0, 1));
}
