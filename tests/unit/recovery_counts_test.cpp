// SPDX-License-Identifier: Apache-2.0
// What recovery counts: the blocks that are in use, after any number of crashes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "core_array.h"

using namespace qlcshape;

TEST_CASE("recovery: the blocks in use are counted right after crashes one after the other") {
    const bool with_snapshots = GENERATE(true, false);
    CoreArray array;
    REQUIRE(array.open());
    constexpr std::uint64_t kBytes = 8 * MiB;
    REQUIRE(array.core->create_volume("v", kBytes));
    Random random(with_snapshots ? 3 : 4);
    std::set<std::uint64_t> used;
    std::vector<std::byte> data(64 * KiB, std::byte{5});
    for (int round = 0; round < 6; ++round) {
        // In even rounds not enough for a snapshot of this opening but the first.
        for (int i = 0; i < (round % 2 == 0 ? 40 : 600); ++i) {
            const std::uint64_t first = random.below(kBytes / kBlockBytes);
            const std::uint64_t blocks =
                std::min(1 + random.below(16), kBytes / kBlockBytes - first);
            const bool trim = random.chance(1, 3);
            REQUIRE(array.request(trim ? Op::trim : Op::write, trim ? nullptr : data.data(),
                                  blocks * kBlockBytes, first * kBlockBytes));
            for (std::uint64_t at = first; at < first + blocks; ++at) {
                if (trim)
                    used.erase(at);
                else
                    used.insert(at);
            }
        }
        if (with_snapshots)
            array.cut();
        else
            array.cut_without_snapshots();
        REQUIRE(array.open());
        // What recovery leaves for the shards to put into the table is counted when it is there.
        for (int i = 0; i < 1000; ++i) array.poll();
        CHECK(array.core->stats().space.used_bytes == used.size() * kBlockBytes);
        // Each block that is used is mapped, and no other.
        std::vector<std::byte> mapped(kBytes / kBlockBytes);
        REQUIRE(array.request(Op::mapped, mapped.data(), kBytes));
        for (std::uint64_t at = 0; at < mapped.size(); ++at)
            REQUIRE((mapped[at] != std::byte{0}) == used.contains(at));
    }
    array.cut();
}

// A table that is too large to be counted at each opening: one snapshot takes the number from the
// one before.
TEST_CASE("recovery: the blocks in use are handed on where the table is not counted") {
    CoreArray array;
    array.counted_pages = 0;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 8 * MiB));
    const std::uint64_t slots = array.core->layout().slots_per_segment;
    for (std::uint64_t i = 0; i < 10; ++i) array.write_blocks(i * slots, slots, 5);
    const auto used = [&] {
        for (int i = 0; i < 1000; ++i) array.poll();
        return array.core->stats().space.used_bytes / kBlockBytes;
    };
    REQUIRE(used() == 10 * slots);
    const std::uint64_t before = array.core->stats().pmt.snapshots;
    array.core->ask_snapshot();
    while (array.core->stats().pmt.snapshots == before) array.poll();
    for (int crash = 0; crash < 3; ++crash) {
        array.cut();
        REQUIRE(array.open());
        CHECK(array.core->stats().recovery.kind == "snapshot");
        CHECK(used() == 10 * slots);
    }
    array.write_blocks(10 * slots, slots, 5);
    array.cut();
    REQUIRE(array.open());
    CHECK(used() == 11 * slots);
    array.cut();
}
