// SPDX-License-Identifier: Apache-2.0
// Columns that bands lack are rebuilt in place.
#include "core_array.h"
#include "recovery/check.h"

using namespace qlcshape;

namespace {

// All blocks of a volume are written while drives are missing, which are there from then on.
struct NarrowArray : CoreArray {
    std::set<std::string> missing;
    ArrayLayout l;
    std::uint64_t blocks = 0;

    explicit NarrowArray(std::set<std::string> drives, const Shape& shape = {})
        : CoreArray(1, shape), missing(std::move(drives)) {
        away = missing;
        REQUIRE(open());
        l = core->layout();
        blocks = 3 * l.slots_per_band();
        REQUIRE(core->create_volume("v", div_up(blocks * kBlockBytes, MiB) * MiB));
        write_all(7);
        REQUIRE(close());
        away.clear();
    }
    ~NarrowArray() {
        power = Power{};
        power.on = true;
        if (core) cut();
    }
    void write_all(int value) {
        const std::uint64_t step = l.slots_per_segment;
        for (std::uint64_t at = 0; at < blocks; at += step)
            write_blocks(at, std::min(step, blocks - at), value);
    }
    void settle() {
        for (int i = 0; i < 2000; ++i) poll();
    }
    bool whole() {
        const Stats::Protection p = core->stats().protection;
        return p.none == 0 && p.one == 0;
    }
    void heal() {
        for (int i = 0; i < 100'000 && !whole(); ++i) poll();
        REQUIRE(whole());
        CHECK(core->stats().rebuild.bands_left == 0);
    }
    std::uint64_t narrow() {
        const Stats::Protection p = core->stats().protection;
        return p.none + p.one;
    }
    // Closed cleanly, and read by `check`.
    std::vector<std::string> problems() {
        REQUIRE(close());
        power.on = true;
        IoQueue queue;
        auto found = discover(drives(), {}, queue);
        REQUIRE(found);
        const auto report = check_array(context_of(*found), found->superblock, queue, {});
        REQUIRE(report);
        return report->problems;
    }
    // Without any two drives.
    void reads_without_two(int value) {
        for (std::size_t a = 0; a < l.width(); ++a) {
            for (std::size_t b = a + 1; b < l.width(); ++b) {
                options.read_only = true;
                away = {options.devices[a].path, options.devices[b].path};
                REQUIRE(open());
                CHECK(reads(0, blocks, value));
                CHECK(core->stats().errors.unreadable == 0);
                REQUIRE(close());
            }
        }
        options.read_only = false;
        away.clear();
    }
    // The slot of a band on a drive.
    bool blank(BandId band, std::size_t drive) {
        const auto at = media[drive].begin() +
                        static_cast<std::ptrdiff_t>(l.slot_offset(kSuperblockUnits + band.value));
        return std::all_of(at, at + static_cast<std::ptrdiff_t>(l.p.band_bytes),
                           [](std::byte byte) { return byte == std::byte{0}; });
    }
};

bool is_rebuild(const Io& io) {
    return io.point == PersistencePoint::rebuild_discard ||
           io.point == PersistencePoint::rebuild_write ||
           io.point == PersistencePoint::rebuild_flush;
}

using Paths = std::set<std::string>;

}  // namespace

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
    CHECK(a.problems().empty());
    a.reads_without_two(7);
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
    CHECK(a.problems().empty());
    a.reads_without_two(7);
}

TEST_CASE("rebuild: an image of a drive from before it is refused afterwards") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    Bytes image = a.media[1];
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
    CHECK(a.problems().empty());
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
    CHECK(a.problems().empty());
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

TEST_CASE("rebuild: a drive that refuses one transfer of it gets all of it nevertheless") {
    NarrowArray a({"qlc1"});
    const auto media = a.media;
    for (std::uint64_t nth = first_transfer();; nth += kNextTransfer) {
        CAPTURE(nth);
        a.media = media;
        REQUIRE(a.open());
        std::uint64_t seen = 0;
        a.power.fails = [&](const Io& io) { return is_rebuild(io) && ++seen == nth; };
        a.heal();
        a.power.fails = nullptr;
        CHECK(a.core->stats().devices[1].state == "online");
        CHECK(a.reads(0, a.blocks, 7));
        CHECK(a.problems().empty());
        if (seen < nth) break;
    }
}

TEST_CASE("rebuild: a drive that takes nothing more goes out, and the rest is as before") {
    NarrowArray a({"qlc1"});
    const std::uint64_t after = GENERATE(0u, 1u, 5u, 10u, 20u);
    REQUIRE(a.open());
    std::uint64_t seen = 0;
    a.power.fails = [&](const Io& io) {
        return io.device->path() == "qlc1" && io.kind != IoKind::read && ++seen > after;
    };
    for (int i = 0; i < 100'000 && a.core->stats().devices[1].state == "online"; ++i) {
        a.poll();
        if (i % 100 == 0) a.write_blocks(0, 1, 7);
    }
    CHECK(a.core->stats().devices[1].state == "out");
    a.settle();
    CHECK(a.reads(0, a.blocks, 7));
    a.power.fails = nullptr;
    REQUIRE(a.close());
    REQUIRE(a.open());
    a.heal();
    CHECK(a.problems().empty());
    a.reads_without_two(7);
}

TEST_CASE("rebuild: nothing is made of what is not as it was written") {
    NarrowArray a({"qlc1"});
    const bool unreadable = GENERATE(false, true);
    const std::uint64_t byte = GENERATE(100u, 9000u);
    REQUIRE(a.open());
    BandId band;
    a.core->bands().candidates([&](const Candidate& c) { band = c.band; });
    // The data strips of a segment, on drives that have one.
    const Location place = a.core->array().locate(band, 1, 0);
    REQUIRE(place.there());
    const std::string path = a.options.devices[place.drive].path;
    const std::uint64_t offset = place.offset;
    a.cut();
    if (!unreadable) a.media[place.drive][offset + byte] ^= std::byte{1};
    REQUIRE(a.open());
    a.power.fails = [&](const Io& io) {
        return unreadable && io.kind == IoKind::read && io.device->path() == path &&
               io.offset <= offset + byte && offset + byte < io.offset + io.bytes;
    };
    a.heal();  // by moving what is in that band
    for (const DeviceStatus& d : a.core->stats().devices)
        CHECK((d.checksum_errors != 0) == (!unreadable && d.path == path));
    CHECK(a.reads(0, a.blocks, 7));
    CHECK(a.core->stats().errors.unreadable == 0);
    a.settle();
    a.power.fails = nullptr;
    CHECK(a.problems().empty());
    a.reads_without_two(7);
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
    CHECK(a.problems().empty());
    a.reads_without_two(7);
}

TEST_CASE("rebuild: a read that goes wrong once is made again") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    int spoiled = 0;
    a.power.spoils = [&](const Io& io) {
        return io.kind == IoKind::read && io.bytes == a.l.p.strip_bytes && spoiled++ == 3;
    };
    const std::uint64_t moved = a.core->stats().gc.bands_moved;
    a.heal();
    CHECK(a.core->stats().gc.bands_moved == moved);
    a.power.spoils = nullptr;
    CHECK(a.problems().empty());
    a.reads_without_two(7);
}

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
    CHECK(a.problems().empty());
}

// That may have dropped what the rebuild wrote, whose own flush then succeeds.
TEST_CASE("rebuild: after a flush of somebody else's that failed it is made again") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    std::uint64_t written = 0, failed = 0;
    a.power.fails = [&](const Io& io) {
        written += io.point == PersistencePoint::rebuild_write ? 1 : 0;
        const bool theirs = io.point == PersistencePoint::strip_flush && written > 2 &&
                            failed == 0 && io.device->path() == "qlc1";
        failed += theirs ? 1 : 0;
        return theirs;
    };
    std::uint64_t wrong = 0;
    std::size_t rebuilt = 0;
    for (int i = 0; i < 100'000 && !(a.whole() && failed != 0); ++i) {
        a.poll();
        if (failed == 0 && i % 3 == 0) a.write_blocks(0, a.l.slots_per_segment, 7);
        if (failed == 1 && rebuilt == 0) {
            wrong = a.core->stats().rebuild.bands_rebuilt;
            rebuilt = 1;
        }
    }
    static_cast<void>(wrong);
    CHECK(failed == 1);
    a.heal();
    CHECK(a.problems().empty());
    a.reads_without_two(7);
}

// What an attempt left is erased with the band, though the band has no column there.
TEST_CASE("rebuild: a band that goes meanwhile leaves nothing on the drive") {
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
    bool erased = false;
    for (int i = 0; i < 20'000 && !erased; ++i) {
        a.poll();
        erased = a.core->bands().record_of(band).state == BandState::free;
        if (i % 100 == 0) a.write_blocks(0, a.l.slots_per_segment, 11);
    }
    REQUIRE(erased);
    CHECK(a.blank(band, 1));
    a.power.fails = nullptr;
    a.heal();
    CHECK(a.problems().empty());
    a.reads_without_two(11);
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
    CHECK(a.problems().empty());
}

TEST_CASE("rebuild: another drive leaves meanwhile") {
    NarrowArray a({"qlc1"});
    const std::uint64_t nth = GENERATE(1u, 3u, 8u, 12u);
    REQUIRE(a.open());
    std::uint64_t seen = 0;
    bool gone = false;
    a.power.fails = [&](const Io& io) {
        seen += io.point == PersistencePoint::rebuild_write ? 1 : 0;
        gone |= seen >= nth;
        return gone && io.device->path() == "qlc2";
    };
    for (int i = 0; i < 100'000 && a.core->stats().devices[2].state == "online"; ++i) {
        a.poll();
        if (i % 10 == 0) a.write_blocks(0, a.l.slots_per_segment, 7);
    }
    CHECK(a.core->stats().devices[2].state == "out");
    // What there are drives for.
    for (int i = 0; i < 100'000 && a.core->stats().rebuild.bands_left != 0; ++i) a.poll();
    CHECK(a.core->stats().rebuild.bands_left == 0);
    CHECK(a.core->stats().protection.none == 0);
    CHECK(a.reads(0, a.blocks, 7));
    a.power.fails = nullptr;
    REQUIRE(a.close());
    REQUIRE(a.open());
    a.heal();
    CHECK(a.problems().empty());
    a.reads_without_two(7);
}
