// SPDX-License-Identifier: Apache-2.0
// The TPS ring: what has to go on when it is full goes on, what a record tells, where records lie.
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <vector>

#include "base/random.h"
#include "journal/tps.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// A ring on one drive, and two full segments for its records.
struct TpsRing {
    ArrayContext array;
    std::unique_ptr<Device> scm;
    IoQueue queue;
    Counters counters;
    Buffer memory;
    std::vector<std::unique_ptr<SegmentBuffer>> segments;
    std::unique_ptr<Tps> tps;

    TpsRing() {
        const ArrayParameters p = small_parameters({.scm_count = 1});
        auto opened = open_device("memory:tps-ring", p.scm_bytes, Access::read_write, true);
        REQUIRE(opened);
        scm = std::move(*opened);
        array = ArrayContext(layout_of(p));
        array.scm = {scm.get()};
        tps = std::make_unique<Tps>(array, 0, queue, counters);
        tps->acked = [](std::uint64_t, bool) {};
        memory = Buffer(2 * SegmentBuffer::bytes_needed(array.layout));
        std::memset(memory.data(), 0x33, memory.size());
        for (std::uint64_t i = 0; i < 2; ++i) {
            segments.push_back(std::make_unique<SegmentBuffer>(
                array.layout, memory.span().subspan(i * memory.size() / 2, memory.size() / 2)));
            segments.back()->reset();
            while (segments.back()->room() != 0)
                segments.back()->append(Entry{EntryKind::data, Lba(1), Version(1), 0});
        }
    }
    ~TpsRing() {
        scm.reset();
        forget_memory_device("memory:tps-ring");
    }
    void settle() {
        while (!tps->idle()) {
            queue.poll();
            tps->poll();
        }
    }
    // So many blocks of the first segment, as segment `number`.
    Tps::Contents blocks(std::uint32_t count, std::uint64_t number) const {
        Tps::Contents contents;
        contents.pieces[0] = {segments[0].get(), 0, count};
        contents.last_segment = number;
        return contents;
    }
    std::vector<std::byte> read(std::uint64_t offset) {
        Buffer block(kBlockBytes);
        Io io;
        io.kind = IoKind::read;
        io.device = scm.get();
        io.offset = offset;
        io.bytes = kBlockBytes;
        io.data = block.data();
        REQUIRE(run(queue, io));
        return {block.data(), block.data() + kBlockBytes};
    }
    std::uint64_t begin() const { return array.layout.tps_ring_offset(1, 0); }
    std::uint64_t bytes() const { return array.layout.tps_ring_bytes(1); }
};

}  // namespace

TEST_CASE(
    "tps ring: a record that a sealed segment waits for finds room among that segment's own") {
    TpsRing ring;
    Tps& tps = *ring.tps;
    // Many records of one block each, as small trims leave them, all of a segment not committed.
    const Tps::Contents one = ring.blocks(1, 1);
    while (tps.ring_has_room(one)) {
        tps.write(one);
        ring.settle();
    }
    CHECK_FALSE(tps.space_to_tell());

    // What is left of it, and all of the next.
    Tps::Contents rest;
    rest.pieces[0] = {ring.segments[0].get(), 0, ring.array.layout.slots_per_segment};
    rest.pieces[1] = {ring.segments[1].get(), 0, ring.array.layout.slots_per_segment};
    rest.last_segment = 2;
    CHECK_FALSE(tps.ring_has_room(rest));
    rest.awaited = true;
    REQUIRE(tps.ring_has_room(rest));
    tps.write(rest);
    ring.settle();

    // Its segment can be committed now, and a record tells of the space that comes back.
    tps.release(1);
    REQUIRE(tps.space_to_tell());
    CHECK_FALSE(tps.ring_has_room(one));  // not before that
    Tps::Contents nothing;
    REQUIRE(tps.ring_has_room(nothing));
    tps.write(nothing);
    ring.settle();
    CHECK(tps.ring_has_room(one));
}

TEST_CASE("tps ring: nothing is written behind its end, whatever the sizes of records") {
    TpsRing ring;
    const auto behind = ring.read(ring.begin() + ring.bytes());
    Random sizes(1);
    std::uint64_t written = 0;
    for (std::uint64_t i = 1; written < 20 * ring.bytes(); ++i) {
        const Tps::Contents contents =
            ring.blocks(static_cast<std::uint32_t>(1 + sizes.below(7)), i);
        REQUIRE(ring.tps->ring_has_room(contents));
        ring.tps->write(contents);
        ring.settle();
        ring.tps->release(i);
        written += (1 + contents.blocks()) * kBlockBytes;
    }
    CHECK(ring.read(ring.begin() + ring.bytes()) == behind);
}

TEST_CASE("tps ring: a record tells what was acknowledged before it, and what is still needed") {
    TpsRing ring;
    std::uint64_t at = ring.begin();
    for (std::uint64_t i = 1; i <= 6; ++i) {
        ring.tps->write(ring.blocks(1, (i + 1) / 2));
        ring.settle();
        std::vector<std::byte> header = ring.read(at);
        const TpsRecord record({header.data(), header.size()});
        CHECK(record.fixed().sequence == i);
        CHECK(record.fixed().acked_through == i - 1);
        CHECK(record.fixed().tail == (i <= 4 ? 1 : 3));
        at += 2 * kBlockBytes;
        if (i == 4) ring.tps->release(1);  // that of the first two
    }
}
