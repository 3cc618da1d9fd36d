// SPDX-License-Identifier: Apache-2.0
// Which drives and slots bands get, where there are more drives than a band has columns.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "base/random.h"
#include "placement/columns.h"

using namespace qlcshape;

namespace {

ArrayLayout layout_of(std::uint32_t data_strips, std::uint32_t drives, std::uint32_t spare) {
    ArrayParameters p;
    p.data_strips = data_strips;
    p.qlc_count = drives;
    p.spare_drives = spare;
    p.strip_bytes = 64 * KiB;
    p.band_bytes = MiB;
    p.qlc_bytes = 62 * MiB;
    p.scm_bytes = 256 * MiB;
    const auto l = make_layout(p);
    if (!l) FAIL(l.error().message);
    return *l;
}

DriveSet first(std::uint32_t drives) { return ~DriveSet{} >> (DriveSet{}.size() - drives); }

// No two columns are in one place, and no drive has two of a band.
void check_places(const Columns& columns, const std::vector<BandId>& used, std::uint32_t width) {
    std::set<std::uint32_t> places;
    for (const BandId band : used) {
        std::size_t there = 0;
        for (std::uint32_t c = 0; c < width; ++c) {
            const Column at = columns.of(band, c);
            if (!at.there()) continue;
            ++there;
            CHECK(at.slot >= kSuperblockUnits);
            CHECK(places.insert(at.packed()).second);
        }
        CHECK(columns.drives(band).count() == there);
    }
}

}  // namespace

TEST_CASE("columns: all bands fit, in whatever order they were opened and freed") {
    const auto [k, drives, spare] = GENERATE(table<std::uint32_t, std::uint32_t, std::uint32_t>(
        {{2, 4, 0}, {2, 5, 0}, {4, 7, 1}, {3, 11, 2}, {8, 30, 1}}));
    CAPTURE(k, drives, spare);
    const ArrayLayout l = layout_of(k, drives, spare);
    CHECK(l.bands == (drives - spare) * l.band_slots / l.width());
    Columns columns(l);
    std::vector<BandId> used, free;
    for (std::uint32_t i = 0; i < l.bands; ++i) free.push_back(BandId(i));
    Random random(k);
    for (int i = 0; i < 20'000; ++i) {
        const bool opens = used.empty() || (!free.empty() && random.chance(2, 3));
        auto& from = opens ? free : used;
        const std::size_t at = random.below(from.size());
        const BandId band = from[at];
        from.erase(from.begin() + static_cast<std::ptrdiff_t>(at));
        if (opens) {
            REQUIRE(columns.choose(band, first(drives)));
            REQUIRE(columns.rotation(band) == l.width());
            used.push_back(band);
        } else {
            columns.release(band, {});
            free.push_back(band);
        }
    }
    check_places(columns, used, l.width());
}

TEST_CASE("columns: load and space stay even, and any two drives share bands") {
    const ArrayLayout l = layout_of(8, 30, 1);
    Columns columns(l);
    for (std::uint32_t i = 0; i < l.bands; ++i) REQUIRE(columns.choose(BandId(i), first(30)));
    std::uint32_t most = 0, least = UINT32_MAX;
    for (std::uint32_t d = 0; d < 30; ++d) {
        most = std::max(most, columns.free_on(d));
        least = std::min(least, columns.free_on(d));
    }
    CHECK(most - least <= 1);
    // What drive 0 lost is read from all others: so many more than the nine of one band.
    DriveSet others;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        if (columns.drives(BandId(i))[0]) others |= columns.drives(BandId(i));
    }
    CHECK(others.count() == 30);
}

TEST_CASE(
    "columns: what a lost drive had finds room on the others, in as many slots as are spare") {
    const ArrayLayout l = layout_of(4, 9, 1);
    Columns columns(l);
    std::vector<BandId> all;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        all.push_back(BandId(i));
        REQUIRE(columns.choose(BandId(i), first(9)));
    }
    const DriveSet left = first(9).reset(3);
    for (const BandId band : all) columns.drop(band, 3);
    for (const BandId band : all) {
        if (columns.drives(band).count() == l.width()) continue;
        const auto at = columns.reserve(band, left);
        REQUIRE(at);
        CHECK(left[at->member]);
        std::uint32_t c = 0;
        while (columns.of(band, c).there()) ++c;
        columns.set(band, c, *at);
    }
    check_places(columns, all, l.width());
}

// Two of five drives are gone, and none is spare: there is room for two columns of each band and
// half of a third.
TEST_CASE(
    "columns: where room is short each band gets its data, and parity as long as all get some") {
    const ArrayLayout l = layout_of(2, 5, 0);
    Columns columns(l);
    const DriveSet left = first(5).reset(0).reset(4);
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        CAPTURE(i);
        CHECK(columns.have_room(left));
        REQUIRE(columns.choose(BandId(i), left));
        CHECK(columns.rotation(BandId(i)) >= 2);
    }
    const DriveSet one_gone = first(5).reset(0);
    Columns more(l);
    std::uint32_t narrow = 0;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        REQUIRE(more.choose(BandId(i), one_gone));
        CHECK(more.rotation(BandId(i)) >= 3);
        narrow += more.rotation(BandId(i)) == 3 ? 1 : 0;
    }
    CHECK(narrow != 0);
    CHECK(narrow != l.bands);
}

TEST_CASE("columns: a slot is empty once it was erased, until a rebuild gives it up") {
    const ArrayLayout l = layout_of(2, 5, 1);
    Columns columns(l);
    const BandId band(7);
    REQUIRE(columns.choose(band, first(4)));
    const Column at = columns.of(band, 1);
    CHECK_FALSE(columns.is_erased(at));
    columns.release(band, DriveSet{}.set(at.member));
    CHECK(columns.is_erased(at));
    CHECK_FALSE(columns.is_erased(columns.of(band, 2)));
    REQUIRE(columns.choose(band, first(4)));
    columns.set(band, 1, {});
    columns.give_back(at);
    CHECK_FALSE(columns.is_erased(at));
}

TEST_CASE("columns: a band does without slots that can't be erased, and nobody gets them") {
    const ArrayLayout l = layout_of(2, 4, 0);
    Columns columns(l);
    const BandId band(3);
    REQUIRE(columns.choose(band, first(4)));
    const std::uint32_t free = columns.free_on(1);
    REQUIRE(columns.do_without(band, DriveSet{}.set(1)));
    CHECK(columns.drives(band) == first(4).reset(1));
    CHECK(columns.rotation(band) == 3);
    CHECK(columns.of(band, 1).member == 2);
    CHECK(columns.free_on(1) == free);
    columns.forgive(1);
    CHECK(columns.free_on(1) == free + 1);
    CHECK_FALSE(columns.do_without(band, first(3)));
    CHECK(columns.rotation(band) == 3);
}

TEST_CASE("columns: a slot that a column has left is nobody's, and not used before it may be") {
    const ArrayLayout l = layout_of(2, 6, 1);
    Columns columns(l);
    const BandId band(0);
    REQUIRE(columns.choose(band, first(6)));
    const Column from = columns.of(band, 0);
    const DriveSet draining = DriveSet{}.set(from.member), others = first(6) & ~draining;
    CHECK_FALSE(columns.lacks_one(band, {}));
    CHECK(columns.lacks_one(band, draining));
    const auto to = columns.reserve(band, others, {}, draining);
    REQUIRE(to);
    CHECK_FALSE(columns.drives(band)[to->member]);
    const std::uint32_t free = columns.free_on(from.member);
    CHECK(columns.move(band, 0, *to) == from);
    CHECK(columns.of(band, 0) == *to);
    CHECK(columns.taken_on(from.member) == 0);
    CHECK(columns.taken_on(to->member) == 1);
    CHECK(columns.free_on(from.member) == free);
    for (std::uint32_t i = 1; i < l.bands; ++i) {
        if (!columns.choose(BandId(i), first(6))) continue;
        for (std::uint32_t c = 0; c < l.width(); ++c) CHECK_FALSE(columns.of(BandId(i), c) == from);
    }
    columns.reuse(from);
    columns.reuse(from);  // once more
    CHECK(columns.taken_on(from.member) + columns.free_on(from.member) == l.band_slots);
}
