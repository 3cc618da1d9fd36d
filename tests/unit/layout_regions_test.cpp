// SPDX-License-Identifier: Apache-2.0
// What a superblock fixes of places: regions of SCM drives, and how many bands there may be.
#include "core_array.h"
#include "meta/superblock_store.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

ArrayParameters planned() { return small_layout({.scm_bytes = 64 * MiB}).p; }

bool refused(const std::function<void(ArrayParameters&)>& change) {
    ArrayParameters p = planned();
    change(p);
    return !make_layout(p);
}

}  // namespace

TEST_CASE("layout: what was planned once stays, and regions may lie elsewhere and be longer") {
    const ArrayParameters before = planned();
    CHECK(before.max_bands == kBandsToGrow * 40);
    ArrayParameters p = before;
    // More bands, on longer drives: the regions have room for them.
    p.qlc_bytes += 20 * p.band_bytes;
    p.regions.pmt = {40 * MiB, 8 * MiB};
    p.regions.tps = {50 * MiB, before.regions.tps.bytes + MiB};
    const auto l = make_layout(p);
    REQUIRE(l);
    CHECK(l->bands == 60);
    CHECK(l->p.max_bands == before.max_bands);
    CHECK(l->p.regions == p.regions);
    CHECK(l->pmt_page_offset(PageId(0)) == 40 * MiB);
    CHECK(l->tps_ring_offset(1, 0) == 50 * MiB);
    CHECK(l->tps_ring_bytes(1) == p.regions.tps.bytes);
    CHECK(l->band_page_offset(0, 0) == before.regions.band_table.offset);
    CHECK(l->snapshot_place(0) == before.regions.snapshots.offset);
}

TEST_CASE("layout: regions that can't be are refused") {
    CHECK_FALSE(refused([](ArrayParameters&) {}));
    Region ScmRegions::*const all[] = {&ScmRegions::band_table, &ScmRegions::snapshots,
                                       &ScmRegions::bitmap, &ScmRegions::tps, &ScmRegions::pmt};
    for (const auto region : all) {
        for (const auto other : all) {
            if (region == other) continue;
            CHECK(refused([&](ArrayParameters& p) {
                (p.regions.*region).offset = (p.regions.*other).offset;
            }));
        }
        const auto changed = [&](const std::function<void(Region&)>& change) {
            return refused([&](ArrayParameters& p) { change(p.regions.*region); });
        };
        CHECK(changed([](Region& r) { r.bytes -= kBlockBytes; }));
        CHECK(changed([](Region& r) { r.bytes += 512; }));
        CHECK(changed([](Region& r) { r.offset = 48 * MiB + 512; }));
        CHECK(changed([](Region& r) { r.offset = 64 * MiB; }));
        CHECK(changed([](Region& r) { r.offset = 64 * MiB - kBlockBytes; }));
        CHECK(changed([](Region& r) { r.offset = 0; }));  // superblocks
        CHECK(changed([](Region& r) { r.offset = UINT64_MAX - kBlockBytes + 1; }));
        CHECK(changed([](Region& r) { r.bytes = UINT64_MAX - kBlockBytes + 1; }));
        CHECK(changed([](Region& r) { r = {}; }));
    }
}

TEST_CASE("layout: no more bands than were planned for") {
    CHECK_FALSE(refused([](ArrayParameters& p) { p.max_bands = 40; }));
    CHECK(refused([](ArrayParameters& p) { p.max_bands = 39; }));
    CHECK(refused([](ArrayParameters& p) { p.max_bands = kMaxBands + 1; }));
    // Their records would not fit in the band table.
    CHECK(refused([](ArrayParameters& p) { p.max_bands = kMaxBands; }));
}

// So that a region can be moved: nobody computes its place again.
TEST_CASE("superblock: an array whose TPS lies elsewhere works, and recovers from there") {
    CoreArray array;
    array.open_and_write_sevens();
    REQUIRE(array.close());
    std::uint64_t moved = 0;
    {
        IoQueue queue;
        auto found = discover(array.drives(), {}, queue);
        REQUIRE(found);
        ScmRegions& regions = found->superblock.parameters.regions;
        moved = regions.tps.offset = regions.pmt.offset + regions.pmt.bytes;
        REQUIRE(append_superblock(found->superblock, found->members, queue));
    }
    REQUIRE(array.open());
    CHECK(array.core->layout().tps_offset == moved);
    array.check_sevens();
    array.write_blocks(1, 3, 5);
    array.cut();
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.blocks_replayed != 0);
    array.check_sevens();
    CHECK(array.reads(1, 3, 5));
    array.cut();
}

TEST_CASE("layout regions: each copy of a page has a place of its own, on another drive") {
    const std::uint32_t scm = GENERATE(2u, 3u, 5u, 8u);
    ArrayParameters p = small_parameters({.scm_count = scm});
    p.pmt_copies = 2;
    const ArrayLayout l = layout_of(p);
    std::set<std::pair<std::uint32_t, std::uint64_t>> places;
    for (std::uint64_t n = 0; n < l.pmt_pages; ++n) {
        const PageId page(n);
        for (std::uint32_t copy = 0; copy < 2; ++copy) {
            const std::uint64_t at = l.pmt_page_offset(page, copy);
            REQUIRE(at >= p.regions.pmt.offset);
            REQUIRE(at + kBlockBytes <= l.p.regions.pmt.offset + l.p.regions.pmt.bytes);
            REQUIRE(places.emplace(l.pmt_drive(page, copy), at).second);
            REQUIRE(l.pmt_page_on(page, l.pmt_drive(page, copy)));
        }
        REQUIRE(l.pmt_drive(page, 0) != l.pmt_drive(page, 1));
    }
    // Any one drive may go; of two that follow each other one is needed.
    for (std::uint32_t lost = 0; lost < scm; ++lost) {
        ScmSet there;
        for (std::uint32_t d = 0; d < scm; ++d) there[d] = d != lost;
        CHECK(l.pmt_whole_on(there));
        there.reset((lost + 1) % scm);
        CHECK_FALSE(l.pmt_whole_on(there));
    }
}

TEST_CASE("layout regions: two copies where there is room, and they must be possible") {
    ArrayParameters p = small_parameters({});
    p.pmt_copies = 0;
    CHECK(layout_of(p).p.pmt_copies == 2);
    ArrayParameters tight = p;
    tight.pmt_copies = 1;
    const ArrayLayout one = layout_of(tight);
    p.scm_bytes = one.p.regions.pmt.offset + one.p.regions.pmt.bytes;
    CHECK(layout_of(p).p.pmt_copies == 1);
    p.pmt_copies = 2;
    CHECK_FALSE(make_layout(p));
    p.pmt_copies = 3;
    CHECK_FALSE(make_layout(p));
    ArrayParameters single = small_parameters({.scm_count = 1});
    single.pmt_copies = 0;
    CHECK(layout_of(single).p.pmt_copies == 1);
    single.pmt_copies = 2;
    CHECK_FALSE(make_layout(single));
}
