// SPDX-License-Identifier: Apache-2.0
// What recovery and check can prove of a segment, and which strips they name.
#include "recovery/segment_scan.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "core_array.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// One segment of sevens.
struct OneSegment : CoreArray {
    ArrayLayout l;
    BandId band;
    std::uint64_t sequence = 0;
    IoQueue queue;

    OneSegment() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", MiB));
        l = core->layout();
        write_blocks(0, l.slots_per_segment, 7);
        band = core->bands().user_frontier().band;
        sequence = core->bands().sequence_of(band);
    }
    ~OneSegment() { cut(); }
    Location place(std::uint32_t role) const { return home_of(l, band, 0, role); }
    std::byte* strip(std::uint32_t role) {
        return media[place(role).drive].data() + place(role).offset;
    }
    // Whether each of the first two segments has a header of that life of the band.
    std::vector<bool> headers(std::uint64_t of) {
        std::vector<bool> seen;
        SegmentScan scan(core->array(), queue);
        REQUIRE(scan.headers(band, of, 0, 2, [&](std::uint32_t segment, const SegmentHeader* h) {
            CHECK(segment == seen.size());
            seen.push_back(h != nullptr);
        }));
        return seen;
    }
};

}  // namespace

TEST_CASE("segment scan: headers of a band's other life are none") {
    OneSegment a;
    CHECK(a.headers(a.sequence) == std::vector{true, false});
    CHECK(a.headers(a.sequence + 1) == std::vector{false, false});
    SegmentScan scan(a.core->array(), a.queue);
    CHECK(scan.rebuilt_header(a.band, a.sequence, 0) != nullptr);
    CHECK(scan.rebuilt_header(a.band, a.sequence + 1, 0) == nullptr);
    CHECK(scan.prove(a.band, a.sequence, 0) == Proof::whole);
    CHECK(scan.prove(a.band, a.sequence + 1, 0) == Proof::unproved);
    CHECK(scan.prove(a.band, a.sequence, 1) == Proof::unproved);
}

TEST_CASE("segment scan: with up to two strips wrong it is mendable, and they are named") {
    OneSegment a;
    SegmentScan scan(a.core->array(), a.queue);
    // The first block of each strip, one of them the header, or the last one.
    const std::uint64_t at = GENERATE(0, 15) * kBlockBytes;
    REQUIRE(a.l.strip_blocks() == 16);
    for (std::uint32_t first = 0; first < a.l.p.qlc_count; ++first) {
        for (std::uint32_t second = first; second < a.l.p.qlc_count; ++second) {
            CAPTURE(first, second);
            std::vector<std::uint32_t> wrong{a.place(first).drive};
            if (second != first) wrong.push_back(a.place(second).drive);
            std::vector<Bytes> right;
            for (const std::uint32_t role : {first, second}) {
                right.emplace_back(a.strip(role) + at, a.strip(role) + at + kBlockBytes);
                std::memset(a.strip(role) + at, 0x11 + static_cast<int>(role), kBlockBytes);
            }
            CHECK(scan.prove(a.band, a.sequence, 0) == Proof::mendable);
            std::vector<std::uint32_t> named;
            for (const Location& strip : scan.wrong_strips()) {
                named.push_back(strip.drive);
                CHECK(strip.offset == a.place(first).offset);
            }
            CHECK(named == wrong);
            for (std::uint32_t slot = 0; slot < a.l.slots_per_segment; ++slot) {
                CHECK(scan.block(slot)[0] == std::byte{7});
                CHECK(scan.block(slot)[kBlockBytes - 1] == std::byte{7});
            }
            std::memcpy(a.strip(second) + at, right[1].data(), kBlockBytes);
            std::memcpy(a.strip(first) + at, right[0].data(), kBlockBytes);
        }
    }
}
