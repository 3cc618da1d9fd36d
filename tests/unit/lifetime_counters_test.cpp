// SPDX-License-Identifier: Apache-2.0
// Counters over an array's life: what a crash takes from them, and what it must not.
#include "core_array.h"
#include "meta/snapshot_store.h"

using namespace qlcshape;

namespace {

struct CountedArray : CoreArray {
    std::uint64_t slots = 0;

    void open_again() {
        REQUIRE(open());
        slots = core->layout().slots_per_segment;
    }
    void start() {
        open_again();
        REQUIRE(core->create_volume("v", 8 * MiB));
    }
    void write_segments(std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) write_blocks(i * slots, slots, 5);
    }
    void take_snapshot() {
        const std::uint64_t before = core->stats().pmt.snapshots;
        core->ask_snapshot();
        while (core->stats().pmt.snapshots == before) poll();
    }
    std::uint64_t total(Counter c) const { return core->lifetime()[static_cast<std::size_t>(c)]; }
    void close() {
        while (!core->advance_close()) poll();
        REQUIRE(core->finish_close());
        core->release();
        core.reset();
    }
};

}  // namespace

TEST_CASE("lifetime counters: a crash takes what was counted since the last snapshot, once") {
    CountedArray a;
    a.start();
    a.write_segments(5);
    a.take_snapshot();
    const LifetimeCounters at_snapshot = a.core->lifetime();
    const std::uint64_t segment = a.slots * kBlockBytes;
    CHECK(a.total(Counter::user_written_bytes) == 5 * segment);
    CHECK(a.total(Counter::qlc_parity_bytes) != 0);
    a.write_segments(3);
    CHECK(a.total(Counter::user_written_bytes) == 8 * segment);
    // Again and again: nothing more is lost, and what there is isn't added a second time.
    for (int crash = 0; crash < 3; ++crash) {
        a.cut();
        a.open_again();
        CHECK(a.total(Counter::user_written_bytes) == 5 * segment);
        for (std::size_t i = 0; i < kCounters; ++i) {
            INFO("counter " << i);
            if (i != static_cast<std::size_t>(Counter::open_milliseconds))
                CHECK(a.core->lifetime()[i] >= at_snapshot[i]);
        }
    }
    a.write_segments(1);
    a.close();
    a.open_again();
    CHECK(a.total(Counter::user_written_bytes) == 6 * segment);
    a.cut();
    a.open_again();
    CHECK(a.total(Counter::user_written_bytes) == 6 * segment);
    a.cut();
}

TEST_CASE("lifetime counters: one mirror without snapshots is enough") {
    CountedArray a;
    a.start();
    a.write_segments(2);
    a.take_snapshot();
    const ArrayLayout l = a.core->layout();
    a.cut();
    // So that no snapshot of the table is in force.
    std::memset(a.media[4].data() + l.snapshot_offset, 0, 2 * l.snapshot_bytes);
    a.open_again();
    CHECK(a.core->stats().recovery.kind == "full");
    CHECK(a.total(Counter::user_written_bytes) == 2 * a.slots * kBlockBytes);
    a.cut();
}

TEST_CASE("lifetime counters: what recovery writes is wear, too") {
    CountedArray a;
    a.start();
    a.take_snapshot();
    a.write_blocks(0, 3, 5);  // in the TPS alone
    const std::uint64_t before = a.total(Counter::qlc_data_bytes);
    a.cut();
    a.open_again();
    CHECK(a.core->stats().recovery.blocks_replayed == 3);
    CHECK(a.total(Counter::qlc_data_bytes) == before + 3 * kBlockBytes);
    a.cut();
}

// The clock may have run for long before.
TEST_CASE("lifetime counters: the time of being open is that of openings alone") {
    CountedArray a;
    constexpr std::uint64_t kHourNs = 3'600'000'000'000;
    for (int opening = 0; opening < 3; ++opening) {
        a.clock.pass(100 * kHourNs);
        a.open_again();
        a.clock.pass(kHourNs);
        if (opening == 1) a.take_snapshot();
        a.cut();
    }
    a.open_again();
    CHECK(a.total(Counter::open_milliseconds) / 3'600'000 == 1);  // one had a snapshot at its end
    a.cut();
}
