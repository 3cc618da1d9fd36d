// SPDX-License-Identifier: Apache-2.0
// Drives that fail, or are wrong, while columns are rebuilt.
#include <map>
#include <utility>

#include "narrow_array.h"
#include "segment/damage_check.h"

using namespace qlcshape;

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
        CHECK(a.problems() == std::vector<std::string>{});
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
    a.ends_whole(7);
}

TEST_CASE("rebuild: nothing is made of what is not as it was written") {
    NarrowArray a({"qlc1"});
    const bool unreadable = GENERATE(false, true);
    const std::uint64_t byte = GENERATE(100u, 4000u, 9000u);  // header, an entry of it, data
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
    a.ends_whole(7);
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
    a.ends_whole(7);
}

TEST_CASE("rebuild: a header that is gone is counted for its own drive alone") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    BandId band;
    a.core->bands().candidates([&](const Candidate& c) { band = c.band; });
    const Location place = a.core->array().locate(band, 1, 0);
    a.cut();
    std::memset(a.media[place.drive].data() + place.offset, 0, a.l.header_bytes());
    REQUIRE(a.open());
    a.heal();
    for (const DeviceStatus& d : a.core->stats().devices)
        CHECK((d.checksum_errors != 0) == (d.path == a.options.devices[place.drive].path));
    CHECK(a.reads(0, a.blocks, 7));
    CHECK(a.problems() == std::vector<std::string>{});
}

TEST_CASE("rebuild: it does without a drive that can't be read, and that is no damage") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    const std::uint64_t moved = a.core->stats().gc.bands_moved;
    a.power.fails = [&](const Io& io) {
        return io.device->path() == "qlc0" && io.kind == IoKind::read;
    };
    a.heal();
    CHECK(a.core->stats().gc.bands_moved == moved);
    CHECK(a.core->bands().damaged() == 0);
    a.power.fails = nullptr;
    a.ends_whole(7);
}

TEST_CASE("rebuild: a full file system holds it up, and ends nothing") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    const std::uint64_t moved = a.core->stats().gc.bands_moved;
    const PersistencePoint point =
        GENERATE(PersistencePoint::rebuild_write, PersistencePoint::rebuild_flush);
    std::uint64_t refused = 0;
    a.power.error = ENOSPC;
    a.power.fails = [&](const Io& io) {
        refused += io.point == point ? 1 : 0;
        return io.point == point;
    };
    a.settle();
    CHECK(refused != 0);
    CHECK(refused < 20);
    CHECK_FALSE(a.core->failed());
    CHECK(a.core->stats().devices[1].state == "online");
    CHECK(a.core->stats().gc.bands_moved == moved);
    a.power.fails = nullptr;
    for (int i = 0; i < 20; ++i) a.write_all(8);
    a.heal();
    CHECK(a.reads(0, a.blocks, 8));
    CHECK(a.problems() == std::vector<std::string>{});
}

TEST_CASE("rebuild: of a drive that is wrong everywhere not all bands are moved at once") {
    NarrowArray a({"qlc1"}, Shape{2, 64 * KiB, 256 * KiB, 0, 20 * MiB}, 20);
    REQUIRE(a.open());
    REQUIRE(a.narrow() > 10);
    std::uint32_t most = 0;
    a.power.spoils = [&](const Io& io) {
        most = std::max(most, a.core->bands().damaged());
        return io.device->path() == "qlc2" && io.kind == IoKind::read;
    };
    a.heal();
    CHECK(most >= 2);
    CHECK(most <= DamageCheck::kBandsAtOnce);
    a.power.spoils = nullptr;
    CHECK(a.reads(0, a.blocks, 7));
    a.settle();
    a.ends_whole(7);
}

TEST_CASE("rebuild: a drive that comes back meanwhile holds up no other") {
    NarrowArray a({"qlc1"});
    a.away = {"qlc3"};
    a.power.holds = [](const Io& io) { return io.point == PersistencePoint::rebuild_discard; };
    REQUIRE(a.open());  // now with qlc1, and bands of before, which name qlc3
    REQUIRE(a.core->stats().protection.none >= 3);
    for (int i = 0; i < 50 && a.core->paths_to_return().empty(); ++i) a.poll();
    REQUIRE(a.core->begin_return(std::make_unique<CoreDrive>("qlc3", a.media[3], a.power)));
    a.power.holds = nullptr;
    Random random(1);
    a.power.finish_one(random);
    a.settle();
    CHECK(a.core->stats().rebuild.bands_rebuilt >= 3);
    while (!a.core->advance_replace()) a.poll();
    REQUIRE(a.core->finish_replace());
    a.heal();
    a.away.clear();
    a.ends_whole(7);
}

TEST_CASE("rebuild: after a flush of somebody else's that failed it is made again") {
    NarrowArray a({"qlc1"});
    REQUIRE(a.open());
    const bool fails = GENERATE(false, true);
    std::map<std::uint64_t, int> erased;  // by place: how often that was begun
    std::uint64_t written = 0, now = 0, during = 0;
    bool flushed = false;
    a.power.fails = [&](const Io& io) {
        if (io.point == PersistencePoint::rebuild_discard) {
            ++erased[io.offset];
            if (!flushed) written = 0, now = io.offset;
        }
        written += io.point == PersistencePoint::rebuild_write ? 1 : 0;
        const bool theirs = io.point == PersistencePoint::strip_flush && written > 2 &&
                            !std::exchange(flushed, flushed || io.device->path() == "qlc1") &&
                            io.device->path() == "qlc1";
        if (theirs) during = now;
        return theirs && fails;
    };
    for (int i = 0; i < 100'000 && !(a.whole() && flushed); ++i) {
        a.poll();
        if (!flushed && i % 3 == 0) a.write_blocks(0, a.l.slots_per_segment, 7);
    }
    REQUIRE(flushed);
    a.power.fails = nullptr;
    a.heal();
    CHECK(erased[during] == (fails ? 2 : 1));
    a.ends_whole(7);
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
    a.ends_whole(7);
}
