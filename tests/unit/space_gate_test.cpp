// SPDX-License-Identifier: Apache-2.0
// Who may take free bands, and how fast writers may go, from many free bands to none.
#include <catch2/catch.hpp>
#include <vector>

#include "band/space_gate.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

ArrayLayout gate_layout() {
    ArrayParameters p = small_parameters({});
    p.max_gc_threads = 2;
    return layout_of(p);
}

struct Gate {
    ArrayLayout layout = gate_layout();
    BandTable bands{layout};
    SpaceGate gate{layout, bands};
    std::uint32_t recovery = layout.recovery_bands;
    std::uint32_t floor = layout.recovery_bands + 4;
    std::uint32_t gc_start = layout.recovery_bands + 6;
    std::uint32_t cap = layout.slots_per_band() / 2;
    std::vector<BandId> taken;

    Gate() {
        for (std::uint32_t i = 0; i < layout.bands; ++i) bands.restore(BandId(i), BandRecord{});
        REQUIRE(layout.bands > gc_start + 4);
    }
    void set_free(std::uint32_t wanted) {
        while (bands.free_bands() > wanted) {
            const BandId id = *bands.begin_open(Stream::user, 1);
            bands.opened(id);
            const Placement placement = *bands.place(Stream::user);
            bands.write_failed(placement);
            bands.left(placement);
            taken.push_back(id);
        }
        while (bands.free_bands() < wanted) {
            bands.begin_move(taken.back());
            bands.moved(taken.back());
            bands.erased(*bands.next_moved());
            taken.pop_back();
        }
    }
};

}  // namespace

TEST_CASE("space gate: who may open a band at which number of free ones") {
    Gate g;
    g.gate.start();
    CHECK(g.gate.gc_start() == g.gc_start);
    struct Row {
        std::uint32_t free;
        bool gc_wanted, user, gc;
    };
    const std::vector<Row> rows = {
        {g.layout.bands, false, true, true},
        {g.gc_start, false, true, true},
        {g.gc_start - 1, true, true, true},
        {g.floor + 1, true, true, true},
        {g.floor, true, false, true},
        {g.recovery + 1, true, false, true},
        {g.recovery, true, false, false},
        {1, true, false, false},
        {0, true, false, false},
    };
    for (const Row& row : rows) {
        INFO(row.free << " free");
        g.set_free(row.free);
        CHECK(g.gate.gc_wanted() == row.gc_wanted);
        CHECK(g.gate.user_may_open() == row.user);
        CHECK(g.gate.gc_may_open() == row.gc);
        g.gate.set_recovering(true);
        CHECK(g.gate.user_may_open());
        g.gate.set_recovering(false);
    }
}

// GC begins no victim then, so nothing would ever let the user stream open the band that it needs
// for what is still in RAM.
TEST_CASE("space gate: closing may use the band that gc turns round in") {
    Gate g;
    g.gate.start();
    g.gate.set_closing();
    g.set_free(g.recovery + 1);
    CHECK(g.gate.user_may_open());
    g.set_free(g.recovery);
    CHECK_FALSE(g.gate.user_may_open());
}

TEST_CASE("space gate: many free bands, no limit") {
    Gate g;
    g.gate.start();
    for (int i = 0; i < 100; ++i) REQUIRE(g.gate.admit(g.cap));
    g.set_free(g.gc_start);
    for (int i = 0; i < 100; ++i) REQUIRE(g.gate.admit(10 * g.cap));
}

TEST_CASE("space gate: with few free bands writers live on credit that gc earns") {
    Gate g;
    g.gate.start();
    g.set_free(g.gc_start - 1);
    CHECK(g.gate.admit(g.cap - 1));
    CHECK_FALSE(g.gate.admit(2));
    CHECK(g.gate.admit(1));
    CHECK_FALSE(g.gate.admit(1));
    CHECK(g.gate.admit(0));
    g.gate.reclaimed(100, 60);
    CHECK_FALSE(g.gate.admit(41));
    CHECK(g.gate.admit(40));
    CHECK_FALSE(g.gate.admit(1));
    // What is earned is capped, so that a quiet time doesn't end in a burst.
    for (int i = 0; i < 100; ++i) g.gate.reclaimed(g.cap, 0);
    CHECK_FALSE(g.gate.admit(4 * g.cap + 1));
    CHECK(g.gate.admit(4 * g.cap));
    CHECK_FALSE(g.gate.admit(1));
    // Freedom regained fills it up.
    g.set_free(g.gc_start);
    CHECK(g.gate.admit(1));
    g.set_free(g.gc_start - 1);
    CHECK(g.gate.admit(g.cap));
    CHECK_FALSE(g.gate.admit(1));
}

TEST_CASE("space gate: below what recovery needs nothing is appended") {
    Gate g;
    g.gate.start();
    g.set_free(g.recovery);
    CHECK(g.gate.admit(1));
    g.set_free(g.recovery - 1);
    CHECK_FALSE(g.gate.admit(1));
    g.set_free(g.recovery);
    CHECK(g.gate.admit(1));
}

TEST_CASE("space gate: after a recovery that used its bands gc makes up for them first") {
    Gate g;
    g.set_free(g.floor - 1);
    g.gate.start();
    CHECK_FALSE(g.gate.admit(1));
    CHECK_FALSE(g.gate.user_may_open());
    CHECK(g.gate.gc_may_open());
    g.set_free(g.recovery - 1);
    CHECK(g.gate.gc_may_open());  // it may use recovery's own bands for that
    CHECK_FALSE(g.gate.admit(1));
    g.set_free(g.floor);
    CHECK(g.gate.admit(1));
    // From here on the usual rules hold.
    g.set_free(g.floor - 1);
    CHECK(g.gate.admit(1));
    g.set_free(g.recovery);
    CHECK_FALSE(g.gate.gc_may_open());
}

// Bands that are out of use, and a writer that waits: only where nothing can come any more is it
// the end.
TEST_CASE("space gate: a standstill needs all of its signs") {
    Gate g;
    SpaceGate::Rest& first = g.gate.add_rest();
    SpaceGate::Rest& second = g.gate.add_rest();
    g.gate.start();
    g.set_free(g.gc_start - 1);
    REQUIRE(g.gate.admit(g.cap));
    // After each change a shard that has a write asks again, and rests if it is refused.
    bool waiting = true;
    auto all_rest = [&] {
        if (waiting) REQUIRE_FALSE(g.gate.admit(1));
        first = second = g.bands.changes();
    };
    auto put_out_of_use = [&] {
        REQUIRE(g.bands.begin_move(g.taken.front()));
        g.bands.put_out_of_use(g.taken.front());
        g.taken.erase(g.taken.begin());
    };
    all_rest();
    CHECK_FALSE(g.gate.standstill());  // every band is of use: GC will gain what was promised
    put_out_of_use();
    all_rest();
    CHECK(g.bands.out_of_use() == 1);
    CHECK(g.gate.standstill());

    second = SpaceGate::kRestless;
    CHECK_FALSE(g.gate.standstill());
    all_rest();
    // A band came since they looked.
    REQUIRE(g.bands.begin_move(g.taken.back()));
    g.bands.abandon_move(g.taken.back());
    CHECK_FALSE(g.gate.standstill());
    all_rest();
    CHECK(g.gate.standstill());
    // What is published makes older places obsolete, where there may be something to gain now.
    g.bands.opened(*g.bands.begin_open(Stream::gc, 1));
    const Placement placed = *g.bands.place(Stream::gc);
    all_rest();
    g.bands.durable(placed);
    g.bands.published(placed, 0);
    CHECK_FALSE(g.gate.standstill());
    all_rest();
    CHECK(g.gate.standstill());
    // A band was erased.
    REQUIRE(g.bands.begin_move(g.taken.back()));
    g.bands.moved(g.taken.back());
    g.bands.erased(*g.bands.next_moved());
    g.taken.pop_back();
    CHECK_FALSE(g.gate.standstill());
    all_rest();
    CHECK(g.gate.standstill());

    // Whoever waited has been served.
    g.gate.reclaimed(1, 0);
    waiting = false;
    all_rest();
    CHECK_FALSE(g.gate.standstill());
    REQUIRE(g.gate.admit(1));
    REQUIRE_FALSE(g.gate.admit(1));
    CHECK(g.gate.standstill());
    g.set_free(g.gc_start);
    all_rest();
    CHECK_FALSE(g.gate.standstill());
    REQUIRE(g.gate.admit(1));
    g.set_free(g.gc_start - 1);
    all_rest();
    CHECK_FALSE(g.gate.standstill());
}

// Bands that are erased let it go on without a gain of GC's: refused once is not waiting for ever.
TEST_CASE("space gate: it is no standstill where the writer that was refused was served") {
    Gate g;
    SpaceGate::Rest& rest = g.gate.add_rest();
    g.set_free(g.recovery - 1);
    const bool replenishing = GENERATE(false, true);
    if (replenishing) g.gate.start();
    REQUIRE(g.bands.begin_move(g.taken.front()));
    g.bands.put_out_of_use(g.taken.front());
    g.taken.erase(g.taken.begin());
    REQUIRE_FALSE(g.gate.admit(1));
    rest = g.bands.changes();
    CHECK(g.gate.standstill());
    g.set_free(g.floor);
    REQUIRE(g.gate.admit(1));
    rest = g.bands.changes();
    CHECK_FALSE(g.gate.standstill());
    REQUIRE_FALSE(g.gate.admit(g.cap + 1));
    CHECK(g.gate.standstill());
}

TEST_CASE("space gate: at a standstill a segment in RAM, or gc while closing, waits too") {
    Gate g;
    SpaceGate::Rest& rest = g.gate.add_rest();
    g.gate.start();
    g.set_free(g.floor);
    REQUIRE(g.bands.begin_move(g.taken.front()));
    g.bands.put_out_of_use(g.taken.front());
    SECTION("the user stream") {
        rest = g.bands.changes();
        CHECK_FALSE(g.gate.standstill());
        CHECK_FALSE(g.bands.place(Stream::user));
        CHECK(g.bands.starved(Stream::user));
        CHECK(g.gate.standstill());
        g.bands.opened(*g.bands.begin_open(Stream::user, 1));
        CHECK_FALSE(g.bands.starved(Stream::user));
        rest = g.bands.changes();
        CHECK_FALSE(g.gate.standstill());
    }
    SECTION("gc alone hinders nobody who reads") {
        CHECK_FALSE(g.bands.place(Stream::gc));
        rest = g.bands.changes();
        CHECK_FALSE(g.gate.standstill());
        g.gate.set_closing();
        CHECK(g.gate.standstill());
    }
}
