// SPDX-License-Identifier: Apache-2.0
// What a read of a shard's holds on to.
#include "shard_rig.h"

using namespace qlcshape;

// GC erases no band that has any.
TEST_CASE("shard: a band has a reader as long as a block of it is being read") {
    ShardRig rig;
    const ArrayLayout& l = rig.array.layout;
    std::vector<BandId> filled;
    for (std::uint64_t i = 0; i < 2 * l.segments_per_band; ++i) {
        rig.write_blocks(
            i % l.segments_per_band * l.slots_per_segment + i / l.segments_per_band * kPageEntries,
            l.slots_per_segment, 1);
        rig.run();
        if (i % l.segments_per_band == 0) filled.push_back(rig.bands->user_frontier().band);
    }
    const auto readers = [&] {
        std::vector<BandId> bands;
        for (std::uint32_t i = 0; i < l.bands; ++i) {
            if (rig.bands->has_readers(BandId(i))) bands.push_back(BandId(i));
        }
        return bands;
    };
    REQUIRE(filled[0] != filled[1]);
    for (std::uint64_t i = 0; i < 2; ++i) {
        for (auto& drive : rig.qlc)
            drive->hold = [](const Io& io) { return io.kind == IoKind::read; };
        const TestOp& read =
            rig.submit(OpKind::read, i * kPageEntries * kBlockBytes, 2 * kBlockBytes);
        rig.run();
        CHECK_FALSE(read.ended);
        CHECK(readers() == std::vector{filled[i]});
        rig.release_strips();
        rig.run();
        CHECK(read.good());
        CHECK(readers().empty());
    }
}
