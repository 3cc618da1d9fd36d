// SPDX-License-Identifier: Apache-2.0
// Openings after a crash, transfer by transfer: what they read first, and which epoch counts.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <set>
#include <string>

#include "core_array.h"
#include "meta/snapshot_store.h"

using namespace qlcshape;

// The superblock of the next epoch reached one drive when the power went. The next opening can't
// read that drive correctly, and the power goes again. The drive that then comes back with it lacks
// what the opening in between wrote.
TEST_CASE(
    "recovery: an epoch that one opening did not see has all that it needs, or never counts") {
    CoreArray array;
    array.open_and_write_sevens();
    array.cut();

    const Bytes before = array.media[0];
    unsigned superblocks = 0;
    array.power.cut_before = [&](const Io& io) {
        return begins_qlc_superblock(io) && ++superblocks == 2;
    };
    REQUIRE_FALSE(array.open());
    const Bytes unseen = array.media[0];
    REQUIRE(unseen != before);

    const std::size_t superblock_bytes = 2 * array.options.band_bytes;
    const auto set_superblocks = [&](const Bytes& from) {
        std::memcpy(array.media[0].data(), from.data(), superblock_bytes);
    };
    set_superblocks(before);
    unsigned erased = 0;
    array.power.cut_before = [&](const Io& io) {
        erased += io.point == PersistencePoint::keeper_discard;
        return erased != 0 && io.point != PersistencePoint::keeper_discard;
    };
    REQUIRE_FALSE(array.open());
    REQUIRE(erased != 0);

    // As it was before the last opening wrote to it, the drive is older than the others.
    const Bytes present = array.media[0];
    set_superblocks(unseen);
    array.power.cut_before = nullptr;
    const Status refused = array.open();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::stale_device);
    CHECK(refused.error().message.starts_with(array.options.devices[0].path + ": "));

    set_superblocks(present);
    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

// What a process that died left in a drive's cache may go with the next cut; nothing may be built
// on it before it is durable.
TEST_CASE("recovery: every drive is flushed before anything on it is read") {
    CoreArray array;
    REQUIRE(array.open());
    array.cut();
    std::set<std::string> flushed;
    bool too_early = false;
    array.power.cut_before = [&](const Io& io) {
        if (io.kind == IoKind::flush) flushed.insert(io.device->path());
        too_early |= io.kind == IoKind::read && flushed.size() != array.media.size();
        return false;
    };
    REQUIRE(array.open());
    CHECK_FALSE(too_early);
    array.cut();
}

// A snapshot may be durable before the band table tells of a band that was opened before it. Gone
// with the cut, that band's number must not be another's, which the snapshot would take for old.
TEST_CASE("recovery: a band that it opens is later than the snapshot") {
    CoreArray array;
    array.open_and_write_sevens();
    IoQueue queue;
    const ArrayContext& context = array.core->array();
    auto snapshot = load_snapshot(context, context.epoch, queue).snapshot;
    REQUIRE(snapshot);
    ++snapshot->generation;
    snapshot->next_band_sequence += 4;
    REQUIRE(write_snapshot(context, *snapshot, queue));
    array.cut();

    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

// A write that fills a segment is durable by it alone, and nothing else tells that it was
// acknowledged: where a controller loses its drives for a while it is not to be taken for what was
// never written.
TEST_CASE("recovery: a segment that can't be read is not discarded") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", MiB));
    Buffer sevens(128 * KiB);
    std::memset(sevens.data(), 7, sevens.size());
    REQUIRE(array.request(Op::write, sevens.data(), sevens.size()));
    array.cut();

    // From the first read of a band on, and for good.
    unsigned drives = 3;
    bool silent = false;
    const std::uint64_t bands = 2 * array.options.band_bytes;
    array.power.fails = [&](const Io& io) {
        const std::string& name = io.device->path();
        if (io.kind != IoKind::read || !name.starts_with("qlc")) return false;
        silent |= io.offset >= bands;
        return silent && name.back() < static_cast<char>('0' + drives);
    };
    const Status refused = array.open();
    REQUIRE_FALSE(refused);
    INFO(refused.error().message);
    CHECK(refused.error().code == Errc::media_error);
    CHECK(refused.error().message.find("qlc1") != std::string::npos);
    array.options.read_only = true;
    silent = false;
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.segments_unread != 0);
    array.cut();
    array.options.read_only = false;

    // For a while only: as long as the stripe is read for the first time.
    silent = false;
    unsigned reads = 0;
    array.power.fails = [&](const Io& io) {
        const bool strip = io.kind == IoKind::read && io.bytes == array.options.strip_bytes;
        reads += strip;
        return strip && reads <= 4;
    };
    REQUIRE(array.open());
    CHECK(reads > 4);
    array.check_sevens();
    array.power.fails = nullptr;
    array.cut();
    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

// Strips that the power cut off may be unreadable for ever; nobody waits for them.
TEST_CASE("recovery: a torn segment that can't be read is discarded") {
    CoreArray array;
    array.open_and_write_sevens();
    std::uint64_t torn = 0;
    array.power.cut_before = [&](const Io& io) {
        if (io.point == PersistencePoint::strip_write) torn = io.offset;
        return torn != 0;
    };
    Buffer eights(128 * KiB);
    std::memset(eights.data(), 8, eights.size());
    auto volume = array.core->volume("v");
    REQUIRE(volume);
    REQUIRE(array.core->submit(
        **volume, Request{Op::write, 128 * KiB, eights.size(), eights.data(), [](Status) {}}));
    while (array.power.on) array.poll();
    array.cut();
    array.power.cut_before = nullptr;

    array.power.fails = [&](const Io& io) {
        const std::string& name = io.device->path();
        return io.kind == IoKind::read && name.starts_with("qlc") && name != "qlc3" &&
               io.offset >= torn && io.offset < torn + array.options.strip_bytes;
    };
    const Status opened = array.open();
    if (!opened) FAIL(opened.error().message);
    array.check_sevens();
    array.power.fails = nullptr;
    array.cut();
}

// A superblock whose write the power cut off is not written over, nor is one appended behind it.
TEST_CASE(
    "recovery: superblocks go on behind the newest one, and in the other unit if it is torn") {
    const bool torn = GENERATE(false, true);
    CoreArray array;
    std::vector<std::uint64_t> places;  // of the superblocks that qlc0 was given
    array.power.cut_before = [&](const Io& io) {
        if (begins_qlc_superblock(io) && io.device->path() == "qlc0") places.push_back(io.offset);
        return false;
    };
    array.open_and_write_sevens();
    const std::uint64_t record = array.core->layout().superblock_record_bytes;
    REQUIRE(array.close());
    REQUIRE(record == kSuperblockRecordMin);
    const std::uint64_t last = places.back(), next = last + record;
    const std::uint64_t unit = array.options.band_bytes;
    REQUIRE(last / unit == next / unit);
    if (torn) std::memset(array.media[0].data() + next, 0x77, kBlockBytes);
    places.clear();
    REQUIRE(array.open());
    CHECK(places.front() == (torn ? (last / unit ^ 1) * unit : next));
    array.check_sevens();
    array.cut();
    array.power.cut_before = nullptr;
    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

TEST_CASE("recovery: one that can't write says which drives failed and why") {
    CoreArray array;
    array.open_and_write_sevens();
    array.cut();
    array.power.fails = [](const Io& io) {
        return io.point == PersistencePoint::replay_strip_write && io.device->path() != "qlc0";
    };
    const Status opened = array.open();
    REQUIRE_FALSE(opened);
    CAPTURE(opened.error().message);
    CHECK(opened.error().message.find("qlc1: write of ") != std::string::npos);
    CHECK(opened.error().message.find("(errno 5)") != std::string::npos);
    CHECK(opened.error().message.find("qlc0") == std::string::npos);
}

// Versions that were given since the newest superblock and snapshot are known from media alone:
// from records of the TPS, and from headers of segments.
TEST_CASE("recovery: versions go on above all that media hold") {
    const std::uint64_t bytes = kBlockBytes * GENERATE(1u, 31u, 128u);
    const std::uint64_t gap = GENERATE(0u, 1u);
    CAPTURE(bytes, gap);
    CoreArray array;
    array.version_gap = gap;
    array.open_and_write_sevens();
    Buffer block(bytes);
    for (int i = 0; i < 50; ++i) {
        std::memset(block.data(), i, block.size());
        REQUIRE(array.request(Op::write, block.data(), bytes));
    }
    for (int life = 0; life < 3; ++life) {
        array.cut();
        REQUIRE(array.open());
        std::memset(block.data(), 100 + life, block.size());
        REQUIRE(array.request(Op::write, block.data(), bytes));
        array.cut_without_snapshots();
        REQUIRE(array.open());
        std::memset(block.data(), 0, block.size());
        REQUIRE(array.request(Op::read, block.data(), bytes));
        CHECK(block.data()[0] == static_cast<std::byte>(100 + life));
        CHECK(block.data()[bytes - 1] == static_cast<std::byte>(100 + life));
    }
    array.cut();
}

namespace {

void take_snapshot(CoreArray& array) {
    const std::uint64_t before = array.core->stats().pmt.snapshots;
    array.core->ask_snapshot();
    while (array.core->stats().pmt.snapshots == before) array.poll();
}

}  // namespace

// The device layer asserts that nothing is written; what drives hold shows it once more.
TEST_CASE("recovery: a read-only opening writes nothing, and has all that was acknowledged") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 4 * MiB));
    Buffer data(512 * KiB);
    // The first 384 KiB are in segments, the later ones over the earlier; one block is in the TPS.
    for (const int value : {5, 7}) {
        std::memset(data.data(), value, data.size());
        REQUIRE(array.request(Op::write, data.data(), 384 * KiB));
    }
    take_snapshot(array);  // pages of the table count
    REQUIRE(array.request(Op::write, data.data()));
    const ArrayLayout l = array.core->layout();
    array.cut();

    std::string kind = "snapshot";
    const auto damage = [&](std::uint64_t offset, std::uint64_t bytes) {
        for (std::size_t i = 4; i < 6; ++i)
            std::memset(array.media[i].data() + offset, 0x55, bytes);
        kind = "full";
    };
    SECTION("from a snapshot") {}
    SECTION("from headers, without a snapshot") { damage(l.snapshot_offset, 2 * l.snapshot_bytes); }
    SECTION("from headers, with a page of the table damaged") {
        array.damage_page(l, PageId(0));
        kind = "full";
    }
    const std::vector<Bytes> before = array.media;
    for (const std::size_t missing : {0u, 2u}) {
        array.options.read_only = true;
        REQUIRE(array.open(missing));
        CHECK(array.core->read_only());
        CHECK(array.core->stats().recovery.kind == kind);
        CHECK(array.core->stats().space.used_bytes >= 2 * 124 * KiB);
        CHECK(array.core->stats().space.used_bytes <= 384 * KiB);
        std::memset(data.data(), 1, data.size());
        REQUIRE(array.request(Op::read, data.data(), data.size()));
        CHECK(std::all_of(data.data(), data.data() + 384 * KiB,
                          [](std::byte b) { return b == std::byte{7}; }));
        CHECK(std::all_of(data.data() + 384 * KiB, data.data() + data.size(),
                          [](std::byte b) { return b == std::byte{0}; }));
        array.cut();
        CHECK(array.media == before);
    }
    array.options.read_only = false;
    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

// The table has a trim that no header has, and is damaged elsewhere: the new table has it from the
// TPS alone.
TEST_CASE("recovery: read-only, a trim that is in the damaged table and the TPS alone holds") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 4 * MiB));
    Buffer data(512 * KiB);
    std::memset(data.data(), 7, data.size());
    REQUIRE(array.request(Op::write, data.data(), data.size()));
    array.write_blocks(kPageEntries, 128, 7);
    REQUIRE(array.request(Op::trim, nullptr, kBlockBytes));
    take_snapshot(array);
    const ArrayLayout l = array.core->layout();
    array.cut();
    array.damage_page(l, PageId(1));

    array.options.read_only = true;
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.kind == "full");
    REQUIRE(array.request(Op::read, data.data(), 2 * kBlockBytes));
    CHECK(data.data()[0] == std::byte{0});
    CHECK(data.data()[kBlockBytes] == std::byte{7});
    array.cut();
}

// A recovery that the power cut off leaves bands that are to be erased: not by who only reads.
TEST_CASE("recovery: read-only, bands of an unfinished recovery are left alone") {
    CoreArray array;
    array.open_and_write_sevens();
    array.cut();
    bool committed = false;
    array.power.cut_before = [&](const Io& io) {
        committed |= io.point == PersistencePoint::replay_strip_flush;
        return committed && io.point == PersistencePoint::qlc_superblock_write;
    };
    REQUIRE_FALSE(array.open());
    array.power.cut_before = nullptr;
    REQUIRE(committed);
    const std::vector<Bytes> before = array.media;
    for (const std::size_t missing : {0u, 1u}) {
        array.options.read_only = true;
        REQUIRE(array.open(missing));
        array.check_sevens();
        array.cut();
        CHECK(array.media == before);
    }
}
