// SPDX-License-Identifier: Apache-2.0
// A table brought up to date where nothing may be committed: what is in memory, and what the table
// knows to be newer.
#include "recovery/table_update.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <unordered_map>
#include <vector>

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
    const auto updated = update_table(
        {array, snapshot, bands, in_memory, false, true, 1000, team, scan, mirrors.queue, nullptr});
    REQUIRE(updated);
    CHECK_FALSE(updated->impossible);
    std::vector<std::uint64_t> superseded = updated->superseded;
    std::sort(superseded.begin(), superseded.end());
    CHECK(superseded == std::vector<std::uint64_t>{0, 1});
}
