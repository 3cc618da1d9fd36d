// SPDX-License-Identifier: Apache-2.0
// Where GC can gain nothing any more, and a write waits for space, the engine ends.
#include "core_array.h"

using namespace qlcshape;

TEST_CASE("space: with what all closed bands hold gone, writing ends in words, and nothing hangs") {
    CoreArray a;
    REQUIRE(a.open());
    const ArrayLayout l = a.core->layout();
    const std::uint64_t bytes = a.core->stats().space.writable_bytes / MiB * MiB;
    REQUIRE(a.core->create_volume("v", bytes));
    const std::uint64_t blocks = bytes / kBlockBytes;
    for (std::uint64_t at = 0; at < blocks; at += 16) a.write_blocks(at, 16, 7);
    a.core->bands().candidates([&](const Candidate& c) {
        for (std::uint32_t column = 0; column < l.width(); ++column) {
            const Location place = a.core->array().locate_column(c.band, column);
            std::memset(a.media[place.drive].data() + place.offset, 0, l.p.band_bytes);
        }
    });
    Random random(1);
    Buffer block(kBlockBytes);
    Status written;
    for (std::uint64_t n = 0; written; ++n) {
        REQUIRE(n < 4 * blocks);
        written =
            a.request(Op::write, block.data(), kBlockBytes, random.below(blocks) * kBlockBytes);
    }
    CHECK(written.error().code == Errc::io_error);
    CHECK(a.core->failed());
    CHECK(a.core->cause().starts_with("because bands"));
    a.cut();
}
