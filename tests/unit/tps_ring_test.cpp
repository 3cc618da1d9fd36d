// SPDX-License-Identifier: Apache-2.0
// The TPS ring when it is full: what has to go on, goes on.
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "shard/tps.h"

using namespace qlcshape;

TEST_CASE(
    "tps ring: a record that a sealed segment waits for finds room among that segment's own") {
    ArrayParameters p;
    p.data_strips = 2;
    p.qlc_count = 4;
    p.scm_count = 1;
    p.strip_bytes = 64 * KiB;
    p.band_bytes = 8 * p.strip_bytes;
    p.qlc_bytes = 42 * p.band_bytes;
    p.scm_bytes = 64 * MiB;
    auto scm = open_device("memory:tps-ring", p.scm_bytes, Access::read_write, true);
    REQUIRE(scm);
    ArrayContext array;
    array.layout = *make_layout(p);
    array.scm = {scm->get()};
    IoQueue queue;
    Counters counters;
    Tps tps(array, 0, queue, counters);
    tps.acked = [](OpFifo, bool) {};

    const Buffer memory(2 * SegmentBuffer::bytes_needed(array.layout));
    std::vector<std::unique_ptr<SegmentBuffer>> segments;
    for (std::uint64_t i = 0; i < 2; ++i) {
        segments.push_back(std::make_unique<SegmentBuffer>(
            array.layout, memory.span().subspan(i * memory.size() / 2, memory.size() / 2)));
        segments.back()->reset();
        while (segments.back()->room() != 0)
            segments.back()->append(Entry{EntryKind::data, Lba(1), Version(1), 0});
    }
    const auto settle = [&] {
        while (!tps.idle()) {
            queue.poll();
            tps.poll();
        }
    };
    // Many records of one block each, as small trims leave them, all of a segment not committed.
    Tps::Contents one;
    one.pieces[0] = {segments[0].get(), 0, 1};
    one.last_segment = 1;
    while (tps.ring_has_room(one)) {
        tps.write(one, OpFifo{});
        settle();
    }
    CHECK_FALSE(tps.space_to_tell());

    // What is left of it, and all of the next.
    Tps::Contents rest;
    rest.pieces[0] = {segments[0].get(), 0, array.layout.slots_per_segment};
    rest.pieces[1] = {segments[1].get(), 0, array.layout.slots_per_segment};
    rest.last_segment = 2;
    CHECK_FALSE(tps.ring_has_room(rest));
    rest.awaited = true;
    REQUIRE(tps.ring_has_room(rest));
    tps.write(rest, OpFifo{});
    settle();

    // Its segment can be committed now, and a record tells of the space that comes back.
    tps.release(1);
    REQUIRE(tps.space_to_tell());
    Tps::Contents nothing;
    REQUIRE(tps.ring_has_room(nothing));
    tps.write(nothing, OpFifo{});
    settle();
    CHECK(tps.ring_has_room(one));
    scm->reset();
    forget_memory_device("memory:tps-ring");
}
