// SPDX-License-Identifier: Apache-2.0
// Which snapshot of the table is in force, by what the SCM drives have.
#include "meta/snapshot_store.h"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "two_mirrors.h"

using namespace qlcshape;

namespace {

struct Mirrors : TwoMirrors {
    void write(std::initializer_list<int> mirrors, std::uint64_t epoch, std::uint64_t generation,
               bool table_damaged = false) {
        Snapshot s;
        s.epoch = epoch;
        s.generation = generation;
        s.table_damaged = table_damaged;
        for (const int m : mirrors) {
            encode_snapshot(s, array.layout, array.array,
                            std::span(media[m]).subspan(array.layout.snapshot_place(generation),
                                                        array.layout.snapshot_bytes));
        }
    }
    // Its generation; 0: none.
    std::uint64_t in_force(std::uint64_t epoch = 9) {
        const auto loaded = load_snapshot(array, epoch, queue);
        return loaded.snapshot ? loaded.snapshot->generation : 0;
    }
};

}  // namespace

TEST_CASE("snapshot store: the newer of two, whichever place it is in") {
    const std::uint64_t first = GENERATE(6u, 7u);
    Mirrors m;
    CHECK(m.in_force() == 0);
    m.write({0, 1}, 3, first);
    CHECK(m.in_force() == first);
    m.write({0, 1}, 3, first + 1);
    CHECK(m.in_force() == first + 1);
    // One of a later epoch is newer, whatever its number.
    m.write({0, 1}, 4, first - 2);
    CHECK(m.in_force() == first - 2);
}

TEST_CASE("snapshot store: one of an epoch that never began is none") {
    Mirrors m;
    m.write({0, 1}, 3, 6);
    m.write({0, 1}, 4, 7);
    CHECK(m.in_force(3) == 6);
    CHECK(m.in_force(2) == 0);
}

TEST_CASE(
    "snapshot store: what not every drive has does not count, but that the table is damaged does") {
    Mirrors m;
    m.write({0, 1}, 3, 6);
    const int newer = GENERATE(0, 1);
    m.write({newer}, 3, 7, true);
    const auto loaded = load_snapshot(m.array, 3, m.queue);
    REQUIRE(loaded.snapshot);
    CHECK(loaded.snapshot->generation == 6);
    CHECK(loaded.snapshot->table_damaged);
    CHECK(loaded.behind.empty());
    m.write({newer}, 3, 8);
    CHECK(load_snapshot(m.array, 3, m.queue).behind ==
          std::vector<Device*>{m.array.scm[1 - newer]});
}
