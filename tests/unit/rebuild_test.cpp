// SPDX-License-Identifier: Apache-2.0
// Columns that bands lack are rebuilt in place.
#include "narrow_array.h"

using namespace qlcshape;

TEST_CASE("rebuild: columns are filled where bands lie, and nothing is moved") {
    const Shape shape = GENERATE(Shape{}, Shape{4, 64 * KiB, 512 * KiB, 0, 20 * MiB},
                                 Shape{2, 256 * KiB, MiB, 0, 40 * MiB});
    const Paths missing = GENERATE(Paths{"qlc1"}, Paths{"qlc0", "qlc3"});
    NarrowArray a(missing, shape);
    REQUIRE(a.open());
    const Stats before = a.core->stats();
    const std::uint64_t narrow = a.narrow();
    REQUIRE(narrow >= 3);
    a.heal();
    const Stats after = a.core->stats();
    CHECK(after.gc.blocks_moved == before.gc.blocks_moved);
    CHECK(after.bytes.qlc_gc == before.bytes.qlc_gc);
    CHECK(after.bytes.qlc_data == before.bytes.qlc_data);
    CHECK(after.rebuild.bands_rebuilt >= 3);
    const std::uint64_t column = a.l.p.band_bytes;
    CHECK(after.bytes.qlc_rebuild <= narrow * missing.size() * column);
    CHECK(after.bytes.qlc_rebuild >= 3 * missing.size() * column);
    CHECK(after.rebuild.bytes_read == after.bytes.qlc_rebuild / missing.size() * a.l.p.data_strips);
    a.ends_whole(7);
}

TEST_CASE("rebuild: a drive that takes the place of another gets data, too") {
    NarrowArray a({});
    REQUIRE(a.open());
    Bytes fresh(Shape{}.drive_bytes);
    const std::uint64_t moved = a.core->stats().gc.blocks_moved;
    REQUIRE(
        a.core->begin_replace("qlc2", std::make_unique<CoreDrive>("new", fresh, a.power), false));
    while (!a.core->advance_replace()) a.poll();
    REQUIRE(a.core->finish_replace());
    a.heal();
    CHECK(a.core->stats().rebuild.bands_rebuilt >= 3);
    CHECK(a.core->stats().gc.blocks_moved == moved);
    REQUIRE(a.close());
    std::swap(a.media[2], fresh);
    REQUIRE(a.open());
    a.ends_whole(7);
}

// Though it has the newest segments.
TEST_CASE("rebuild: an image of a drive from before it is refused afterwards") {
    NarrowArray a({"qlc1"});
    a.power.holds = [](const Io& io) { return io.point == PersistencePoint::rebuild_discard; };
    REQUIRE(a.open());
    a.write_blocks(0, a.l.slots_per_band(), 7);
    a.settle();
    REQUIRE(a.power.held.size() == 1);
    Bytes image = a.media[1];
    a.power.holds = nullptr;
    Random random(1);
    a.power.finish_one(random);
    a.heal();
    a.settle();
    a.core->look_at_drives();
    a.cut();
    std::swap(a.media[1], image);
    const Status opened = a.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Errc::stale_device);
    std::swap(a.media[1], image);
    REQUIRE(a.open());
    CHECK(a.reads(0, a.blocks, 7));
    CHECK(a.problems() == std::vector<std::string>{});
}

// One that GC took for space waits with what is in it for a segment that nobody fills.
TEST_CASE("rebuild: it comes to its end though nobody writes") {
    CoreArray a;
    REQUIRE(a.open());
    const std::uint64_t bytes = a.core->stats().space.writable_bytes / MiB * MiB;
    REQUIRE(a.core->create_volume("v", bytes));
    const std::uint64_t blocks = bytes / kBlockBytes;
    for (std::uint64_t at = 0; at < blocks; at += 16) a.write_blocks(at, 16, 7);
    const auto seed = GENERATE(range(1u, 31u));
    CAPTURE(seed);
    Random random(seed);
    for (std::uint64_t n = blocks / 4; n != 0; --n) a.write_blocks(random.below(blocks), 1, 7);
    REQUIRE(a.close());
    a.away = {"qlc1", "qlc2"};
    REQUIRE(a.open());
    for (std::uint64_t n = random.below(blocks) / 2; n != 0; --n)
        a.write_blocks(random.below(blocks), 1, 7);
    REQUIRE(a.close());
    a.away.clear();
    REQUIRE(a.open());
    const auto narrow = [&] {
        const Stats::Protection p = a.core->stats().protection;
        return p.none + p.one;
    };
    for (int i = 0; i < 50'000 && narrow() != 0; ++i) a.poll();
    CHECK(narrow() == 0);
    a.cut();
}

TEST_CASE("rebuild: what is hardly valid is moved") {
    NarrowArray a({"qlc1"});
    a.away = a.missing;
    REQUIRE(a.open());
    for (std::uint64_t at = 0; at < a.blocks; ++at) {
        if (at % 16 != 0) a.trim_blocks(at, 1);
    }
    a.settle();
    REQUIRE(a.close());
    a.away.clear();
    REQUIRE(a.open());
    const std::uint64_t moved = a.core->stats().gc.bands_moved;
    a.heal();
    CHECK(a.core->stats().gc.bands_moved >= moved + 3);
    a.settle();
    for (std::uint64_t at = 0; at < a.blocks; at += 16) CHECK(a.reads(at, 1, 7));
    CHECK(a.problems() == std::vector<std::string>{});
}

TEST_CASE("rebuild: cut off at any transfer, and gone on with at the next opening") {
    const Paths missing = GENERATE(Paths{"qlc1"}, Paths{"qlc0", "qlc3"});
    NarrowArray whole(missing);
    const auto media = whole.media;
    for (std::uint64_t nth = first_transfer();; nth += kNextTransfer) {
        CAPTURE(nth);
        whole.media = media;
        REQUIRE(whole.open());
        std::uint64_t seen = 0;
        whole.power.cut_before = [&](const Io& io) { return is_rebuild(io) && ++seen == nth; };
        for (int i = 0; i < 20'000 && whole.power.on && !whole.whole(); ++i) whole.poll();
        const bool cut = !whole.power.on;
        whole.cut();
        whole.power.cut_before = nullptr;
        REQUIRE(whole.open());
        CHECK(whole.reads(0, whole.blocks, 7));
        whole.heal();
        CHECK(whole.problems().empty());
        REQUIRE(whole.open());
        whole.write_all(8);  // bands are freed, and used again
        whole.write_all(9);
        whole.settle();
        CHECK(whole.reads(0, whole.blocks, 9));
        CHECK(whole.problems().empty());
        if (!cut) break;
    }
}

TEST_CASE("rebuild: bands that can lose no more drive come first") {
    NarrowArray a({"qlc1"});
    const bool earlier = GENERATE(false, true);  // those were written before the others
    const std::uint64_t first = earlier ? 0 : 2 * a.l.slots_per_band();
    a.away = {"qlc1", "qlc3"};
    REQUIRE(a.open());
    a.write_blocks(first, a.l.slots_per_band(), 7);
    a.settle();
    REQUIRE(a.close());
    a.away.clear();
    std::vector<std::uint32_t> columns;  // of each band when its rebuild begins
    a.power.spoils = [&](const Io& io) {
        if (io.point != PersistencePoint::rebuild_discard || io.device->path() != "qlc1")
            return false;
        const auto slot = static_cast<std::uint32_t>(io.offset / a.l.p.band_bytes);
        columns.push_back(a.core->array().columns_there(BandId(slot - kSuperblockUnits)));
        return false;
    };
    REQUIRE(a.open());
    a.heal();
    CHECK(std::ranges::is_sorted(columns));
    CHECK(std::ranges::count(columns, a.l.p.data_strips) != 0);
    CHECK(std::ranges::count(columns, a.l.p.data_strips + 1) != 0);
    a.ends_whole(7);
}

// Bands that name it lack a column elsewhere all the same.
// Otherwise another drive could leave, and a cut would take both.
TEST_CASE("rebuild: a column counts when the band table has it durable") {
    NarrowArray a({"qlc1"});
    const PersistencePoint point =
        GENERATE(PersistencePoint::keeper_write, PersistencePoint::keeper_flush);
    REQUIRE(a.open());
    bool flushed = false;
    a.power.holds = [&](const Io& io) {
        flushed |= io.point == PersistencePoint::rebuild_flush;
        return flushed && io.point == point;
    };
    const std::uint64_t before = a.narrow();
    for (int i = 0; i < 20'000 && a.power.held.empty(); ++i) a.poll();
    REQUIRE_FALSE(a.power.held.empty());
    for (int i = 0; i < 100; ++i) a.poll();
    CHECK(a.narrow() == before);
    a.power.holds = nullptr;
    Random random(1);
    while (!a.power.held.empty()) a.power.finish_one(random);
    for (int i = 0; i < 20'000 && a.narrow() == before; ++i) a.poll();
    CHECK(a.narrow() < before);
    a.heal();
    CHECK(a.problems() == std::vector<std::string>{});
}

// That may have dropped what the rebuild wrote, whose own flush then succeeds.
// What an attempt left is erased before a band gets the slot.
TEST_CASE("rebuild: a band that goes meanwhile leaves a slot that is erased before its next use") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    std::uint64_t writes = 0;
    a.power.fails = [&](const Io& io) { return io.point == PersistencePoint::rebuild_flush; };
    a.power.holds = [&](const Io& io) {
        return io.point == PersistencePoint::rebuild_write && ++writes == 3;
    };
    for (int i = 0; i < 20'000 && a.power.held.empty(); ++i) a.poll();
    REQUIRE(a.power.held.size() == 1);
    const std::uint64_t offset = a.power.held[0].io->offset;
    const BandId band(static_cast<std::uint32_t>(offset / a.l.p.band_bytes) - kSuperblockUnits);
    const std::uint64_t sequence = a.core->bands().sequence_of(band);
    CHECK_FALSE(a.blank(band, 1));
    // Nothing in it is valid any more, but it is held.
    for (int round = 8; round < 12; ++round) a.write_all(round);
    CHECK(a.core->bands().sequence_of(band) == sequence);
    a.power.holds = nullptr;
    Random random(1);
    a.power.finish_one(random);
    bool discarded = false, again = false;
    a.power.holds = [&](const Io& io) {
        const bool there = io.device->path() == "qlc1" &&
                           io.offset / a.l.p.band_bytes == offset / a.l.p.band_bytes;
        if (!there || a.core->bands().sequence_of(band) == sequence) return false;
        discarded |= io.kind == IoKind::discard;
        CHECK((io.kind != IoKind::write || discarded));
        again |= io.kind == IoKind::write;
        return false;
    };
    for (int i = 0; i < 100'000 && !again; ++i) {
        a.poll();
        if (i % 100 == 0) a.write_blocks(0, a.l.slots_per_segment, 11);
    }
    REQUIRE(again);
    a.power.holds = nullptr;
    a.power.fails = nullptr;
    a.heal();
    a.ends_whole(11);
}

TEST_CASE("rebuild: closing ends it between two strips") {
    NarrowArray a({"qlc1"});
    const int polls = GENERATE(range(0, 200, 9));
    REQUIRE(a.open());
    for (int i = 0; i < polls; ++i) a.poll();
    REQUIRE(a.close());
    REQUIRE(a.open());
    a.heal();
    CHECK(a.reads(0, a.blocks, 7));
    CHECK(a.problems() == std::vector<std::string>{});
}
