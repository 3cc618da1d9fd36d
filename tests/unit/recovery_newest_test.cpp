// SPDX-License-Identifier: Apache-2.0
// Of several versions of a block that a crash leaves in different places the newest counts: on an
// array that recovery may write to, and on one that it may not, with and without a snapshot.
#include <catch2/catch.hpp>

#include "core_array.h"

using namespace qlcshape;

namespace {

// Crashes, and opens it without a drive or with all of them.
struct Crashed : CoreArray {
    std::size_t missing = 0;

    Crashed() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
    }
    void crash() {
        missing = GENERATE(0u, 1u);
        const bool snapshot = GENERATE(true, false);
        CAPTURE(missing, snapshot);
        if (snapshot)
            cut();
        else
            cut_without_snapshots();
        REQUIRE(open(missing));
        CHECK(core->stats().recovery.kind == (snapshot ? "snapshot" : "full"));
    }
    std::uint64_t slots() const { return core->layout().slots_per_segment; }
};

}  // namespace

TEST_CASE("recovery: of the records of a block the newest counts") {
    Crashed array;
    for (const int value : {5, 6, 7}) array.write_blocks(0, 1, value);
    array.write_blocks(1, 1, 8);
    array.trim_blocks(1, 1);
    array.write_blocks(2, 1, 8);
    array.trim_blocks(2, 1);
    array.write_blocks(2, 1, 9);
    array.crash();
    CHECK(array.reads(0, 1, 7));
    CHECK(array.reads(1, 1, 0));
    CHECK(array.reads(2, 1, 9));
    array.cut();
}

// Nothing has told yet that the record of the older one is not needed any more.
TEST_CASE("recovery: a block in a durable segment counts where its record is older") {
    Crashed array;
    array.write_blocks(0, 1, 5);
    array.write_blocks(0, array.slots() - 1, 7);  // fills the segment: in no record
    array.write_blocks(100, array.slots(), 8);    // its header tells that the first is durable
    array.crash();
    CHECK(array.reads(0, array.slots() - 1, 7));
    CHECK(array.reads(100, array.slots(), 8));
    array.cut();
}
