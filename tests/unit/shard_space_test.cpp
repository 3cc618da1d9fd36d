// SPDX-License-Identifier: Apache-2.0
// A shard that waits for space which will not come.
#include "shard_rig.h"

using namespace qlcshape;

namespace {

// Takes free bands until `left` are, and closes them empty.
void use_up_free_bands(BandTable& bands, std::uint32_t left) {
    while (bands.free_bands() > left) {
        bands.opened(*bands.begin_open(Stream::gc, 3));
        const Placement placement = *bands.place(Stream::gc);
        bands.write_failed(placement);
        bands.left(placement);
    }
}

// As another shard would.
void take_a_place(BandTable& bands) {
    const Placement placement = *bands.place(Stream::user);
    bands.submitted(placement);
    bands.durable(placement);
    bands.published(placement, 0);
}

BandId any_closed(const BandTable& bands) {
    std::optional<BandId> closed;
    bands.candidates([&](const Candidate& c) { closed = c.band; });
    return *closed;
}

}  // namespace

TEST_CASE("shard: at a standstill a segment waits for a place, and later ones for its turn") {
    ShardRig rig;
    const ArrayLayout& l = rig.array.layout;
    BandTable& bands = *rig.bands;
    std::uint64_t written = 0;
    const auto write_segment = [&] {
        rig.write_blocks(written, l.slots_per_segment, 1);
        written += l.slots_per_segment;
        rig.run();
    };
    for (std::uint32_t i = 0; i < l.segments_per_band - 1; ++i) write_segment();
    rig.opens_bands = false;
    // One in the last place of the first band is on its way; all others of the next band arrive.
    const std::uint64_t last =
        rig.array.locate(bands.user_frontier().band, l.segments_per_band - 1, 0).offset;
    rig.qlc[0]->hold = [=](const Io& io) { return io.kind == IoKind::write && io.offset == last; };
    write_segment();
    REQUIRE(rig.qlc[0]->held() == 1);
    take_a_place(bands);
    for (std::uint32_t i = 0; i < l.segments_per_band - 1; ++i) write_segment();
    REQUIRE(bands.placed() == 2 * std::uint64_t{l.segments_per_band});
    use_up_free_bands(bands, rig.gate->gc_start() - 2);
    const BandId damaged = any_closed(bands);
    REQUIRE(bands.begin_move(damaged));
    bands.put_out_of_use(damaged);
    CHECK_FALSE(rig.gate->standstill());
    // It fails, and no other band is open.
    rig.qlc[0]->fails = [](const Io& io) { return io.kind == IoKind::write; };
    rig.qlc[0]->release();
    rig.run();
    REQUIRE(bands.starved(Stream::user));
    CHECK_FALSE(rig.shard->failed());
    CHECK(rig.gate->standstill());
    // A band comes: all go on.
    rig.qlc[0]->fails = nullptr;
    rig.opens_bands = true;
    rig.run();
    CHECK_FALSE(rig.gate->standstill());
    CHECK(rig.reads(0, written * kBlockBytes, 1));
}
