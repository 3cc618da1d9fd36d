// SPDX-License-Identifier: Apache-2.0
// The end of a band that was open in a crash: what counts, what is committed anew, and what is
// damage.
#include <catch2/catch.hpp>
#include <cstring>
#include <set>

#include "core_array.h"
#include "format/segment_header.h"
#include "format/tps_record.h"
#include "meta/snapshot_store.h"
#include "recovery/segment_scan.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// Its user band is filled segment by segment, with writes that are in no record.
struct OpenBand : CoreArray {
    ArrayLayout l;
    BandId band;

    OpenBand() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
        l = core->layout();
        write_blocks(0, l.slots_per_segment, 5);
        band = core->bands().user_frontier().band;
    }
    void write_segment(std::uint64_t first_block, int value) {
        write_blocks(first_block, l.slots_per_segment, value);
    }
    std::byte* strip(std::uint32_t segment, std::uint32_t role) {
        const Location at = home_of(l, band, segment, role);
        return media[at.drive].data() + at.offset;
    }
    SegmentHeader header(std::uint32_t segment) { return {l, strip(segment, 0)}; }
    // So many strips of a segment, the last ones first: parity, then data.
    void spoil(std::uint32_t segment, std::uint32_t strips) {
        for (std::uint32_t i = 0; i < strips; ++i)
            std::memset(strip(segment, l.p.qlc_count - 1 - i), 0x55 + static_cast<int>(i),
                        l.p.strip_bytes);
    }
};

}  // namespace

// It bypassed the TPS: the header of the next one alone proves that it was durable.
TEST_CASE("recovery: a segment that is lost below a durable one is damage, not a torn end") {
    OpenBand array;
    array.write_segment(100, 6);
    array.write_segment(200, 7);
    REQUIRE(array.header(2).fixed().frontier == 2);
    array.cut();
    array.spoil(1, 4);
    const Status opened = array.open();
    REQUIRE_FALSE(opened);
    CAPTURE(opened.error().message);
    CHECK(opened.error().code == Errc::damaged);
}

TEST_CASE(
    "recovery: a segment in flight that lacks a strip is committed anew, with those after it") {
    OpenBand array;
    array.power.holds = [](const Io& io) { return io.point == PersistencePoint::strip_write; };
    Bytes sevens(2 * array.l.slots_per_segment * kBlockBytes, std::byte{7});
    auto volume = array.core->volume("v");
    REQUIRE(volume);
    REQUIRE(array.core->submit(**volume,
                               Request{Op::write, 0, sevens.size(), sevens.data(), [](Status) {}}));
    for (int i = 0; i < 100; ++i) array.poll();
    REQUIRE(array.power.held.size() == 2 * array.l.p.qlc_count);
    REQUIRE(array.header(2).fixed().frontier == 1);
    array.power.holds = nullptr;
    while (!array.power.held.empty()) array.power.finish_one(array.random);
    const std::uint32_t lost = GENERATE(1u, 2u, 3u);  // of the strips of the first
    const bool degraded = GENERATE(false, true);
    CAPTURE(lost, degraded);
    array.power.on = false;
    for (int i = 0; i < 1000; ++i) array.poll();
    array.core.reset();
    array.spoil(1, lost);
    array.options.read_only = degraded;
    REQUIRE(array.open());
    // More than two can't be rebuilt: it was never acknowledged, and all after it is void.
    CHECK(array.reads(0, array.l.slots_per_segment, lost > 2 ? 5 : 7));
    CHECK(array.reads(array.l.slots_per_segment, array.l.slots_per_segment, lost > 2 ? 0 : 7));
    array.cut();
}

TEST_CASE("recovery: trims in a segment that is committed anew hold") {
    OpenBand array;
    for (const std::uint64_t block : {2, 4, 6}) array.trim_blocks(block, 1);
    array.write_blocks(100, array.l.slots_per_segment - 1, 6);  // with the trims a segment
    array.write_blocks(300, 1, 7);  // a record that needs none before it
    array.cut();
    array.spoil(1, 1);
    REQUIRE(array.open());
    for (const std::uint64_t block : {2, 4, 6}) CHECK(array.reads(block, 1, 0));
    for (const std::uint64_t block : {1, 3, 5}) CHECK(array.reads(block, 1, 5));
    CHECK(array.reads(100, array.l.slots_per_segment - 1, 6));
    CHECK(array.reads(300, 1, 7));
    array.cut();
}

// Between the superblock of the new epoch and the records of the bands that recovery decided on:
// the next recovery decides on them again, and would take a band each time.
TEST_CASE("recovery: cuts in a row right after the epoch began commit a torn end once") {
    OpenBand array;
    for (const std::uint64_t block : {2, 4, 6}) array.trim_blocks(block, 1);
    array.write_blocks(100, array.l.slots_per_segment - 1, 6);  // with the trims a segment
    array.cut();
    array.spoil(1, 1);
    unsigned replayed = 0;
    array.power.cut_before = [&](const Io& io) {
        replayed += io.point == PersistencePoint::replay_strip_write;
        return io.point == PersistencePoint::band_table_write;
    };
    REQUIRE_FALSE(array.open());
    CHECK(replayed == array.l.p.qlc_count);
    for (int i = 0; i < 3; ++i) REQUIRE_FALSE(array.open());
    CHECK(replayed == array.l.p.qlc_count);
    array.power.cut_before = nullptr;
    REQUIRE(array.open());
    for (const std::uint64_t block : {2, 4, 6}) CHECK(array.reads(block, 1, 0));
    for (const std::uint64_t block : {1, 3, 5}) CHECK(array.reads(block, 1, 5));
    CHECK(array.reads(100, array.l.slots_per_segment - 1, 6));
    array.cut();
}

// As a record that is older than the band's present life would say.
TEST_CASE("recovery: how far a band was durable in an earlier life says nothing of this one") {
    OpenBand array;
    array.write_blocks(300, 1, 7);
    const std::uint64_t ring = array.l.tps_ring_offset(1, 0);
    array.cut();
    unsigned records = 0;
    for (std::size_t i = array.l.p.qlc_count; i < array.media.size(); ++i) {
        TpsRecord record({array.media[i].data() + ring, kBlockBytes});
        if (record.fixed().band != array.band.value) continue;
        record.fixed().band_sequence += 100;
        record.fixed().frontier = 7;
        record.seal();
        ++records;
    }
    REQUIRE(records == 2);
    const Status opened = array.open();
    if (!opened) FAIL(opened.error().message);
    CHECK(array.reads(0, array.l.slots_per_segment, 5));
    CHECK(array.reads(300, 1, 7));
    array.cut();
}

TEST_CASE("recovery: no two lives of bands have one number, after a crash and after a close") {
    const int how = GENERATE(0, 1, 2);  // a cut, one without snapshots, a close
    OpenBand array;
    std::uint64_t newest = 0;
    for (int life = 0; life < 3; ++life) {
        for (std::uint32_t i = 0; i < 2 * array.l.segments_per_band; ++i)
            array.write_segment(i % 4 * 100, life);
        for (std::uint32_t i = 0; i < array.l.bands; ++i) {
            const BandRecord r = array.core->bands().record_of(BandId(i));
            if (r.counts()) newest = std::max(newest, r.sequence);
        }
        CHECK(array.core->bands().next_sequence() > newest);
        if (how == 2) {
            REQUIRE(array.close());
        } else if (how == 1) {
            array.cut_without_snapshots();
        } else {
            array.cut();
        }
        REQUIRE(array.open());
        CHECK(array.core->bands().next_sequence() > newest);
        std::set<std::uint64_t> numbers;
        for (std::uint32_t i = 0; i < array.l.bands; ++i) {
            const BandRecord r = array.core->bands().record_of(BandId(i));
            if (r.counts()) CHECK(numbers.insert(r.sequence).second);
        }
    }
    array.cut();
}

TEST_CASE("recovery: a table that a snapshot calls damaged is built from headers") {
    OpenBand array;
    IoQueue queue;
    const ArrayContext& context = array.core->array();
    auto snapshot = load_snapshot(context, context.epoch, queue).snapshot;
    REQUIRE(snapshot);
    ++snapshot->generation;
    snapshot->table_damaged = true;
    REQUIRE(write_snapshot(context, *snapshot, queue));
    array.cut();
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.kind == "full");
    CHECK(array.reads(0, array.l.slots_per_segment, 5));
    array.cut();
}
