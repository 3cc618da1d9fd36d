// SPDX-License-Identifier: Apache-2.0
// Where strips lie: each role of a stripe has a column of its own, parity is spread evenly, no two
// strips share a byte, and a transfer of a part of a segment meets the right one.
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <vector>

#include "placement/array_context.h"
#include "small_layout.h"

using namespace qlcshape;

TEST_CASE("placement: the roles of a stripe are in as many columns") {
    const std::uint32_t k = GENERATE(2u, 3u, 8u, 32u);
    for (std::uint32_t rotation = k; rotation <= k + 2; ++rotation) {
        for (std::uint64_t stripe : {0ull, 1ull, 2ull, 9ull, 10ull, 12'345ull, (1ull << 40) + 3}) {
            std::set<std::uint32_t> columns;
            for (std::uint32_t role = 0; role < k + 2; ++role) {
                const std::uint32_t column = column_of(stripe, role, rotation);
                CHECK(column < k + 2);
                columns.insert(column);
            }
            CHECK(columns.size() == k + 2);
        }
    }
}

TEST_CASE("placement: all data is in the columns that are there, and parity is spread evenly") {
    const std::uint32_t k = GENERATE(2u, 3u, 8u, 32u);
    constexpr unsigned kRounds = 3;
    for (std::uint32_t rotation = k; rotation <= k + 2; ++rotation) {
        std::vector<unsigned> p(k + 2), q(k + 2);
        for (std::uint64_t stripe = 100; stripe < 100 + kRounds * rotation; ++stripe) {
            for (std::uint32_t role = 0; role < k; ++role)
                CHECK(column_of(stripe, role, rotation) < rotation);
            ++p[column_of(stripe, k, rotation)];
            ++q[column_of(stripe, k + 1, rotation)];
        }
        for (std::uint32_t column = 0; column < k + 2; ++column) {
            const unsigned share = column < rotation ? kRounds : 0;
            // Of what isn't rotated: nobody has that column.
            CHECK(p[column] == (rotation > k ? share : column == k ? kRounds * rotation : 0));
            CHECK(q[column] == (rotation > k + 1  ? share
                                : column == k + 1 ? kRounds * rotation
                                                  : 0));
        }
    }
}

namespace {

ArrayLayout five_drives() {
    return small_layout({.k = 3, .strips_per_band = 4, .bands = 58, .scm_bytes = 256 * MiB});
}

}  // namespace

TEST_CASE("placement: strips lie in their band's columns, and no two at one place") {
    const ArrayContext array(five_drives());
    const ArrayLayout& l = array.layout;
    std::set<std::pair<std::uint32_t, std::uint64_t>> places;
    for (std::uint32_t b = 0; b < l.bands; ++b) {
        std::map<std::uint32_t, std::uint64_t> columns;  // by drive
        for (std::uint32_t c = 0; c < l.width(); ++c) {
            const Location column = array.locate_column(BandId(b), c);
            columns[column.drive] = column.offset;
        }
        REQUIRE(columns.size() == l.width());
        for (std::uint32_t segment = 0; segment < l.segments_per_band; ++segment) {
            std::set<std::uint32_t> drives;
            for (std::uint32_t role = 0; role < l.width(); ++role) {
                const Location strip = array.locate(BandId(b), segment, role);
                drives.insert(strip.drive);
                REQUIRE(strip.offset == columns.at(strip.drive) + segment * l.p.strip_bytes);
                REQUIRE(places.insert({strip.drive, strip.offset}).second);
            }
            REQUIRE(drives.size() == l.width());  // of two drives' loss a stripe loses two strips
        }
    }
}

TEST_CASE("placement: a transfer of a part of a segment meets its strip") {
    ArrayContext array;
    array = ArrayContext(five_drives());
    const ArrayLayout& l = array.layout;
    std::vector<std::unique_ptr<Device>> drives;
    for (std::uint32_t i = 0; i < l.p.qlc_count; ++i) {
        drives.push_back(*open_device("memory:placement_" + std::to_string(i), l.p.qlc_bytes,
                                      Access::read_write, true));
        array.qlc.push_back(i == 1 ? nullptr : drives.back().get());
    }
    std::byte block{};
    for (std::uint32_t role = 0; role < l.width(); ++role) {
        const std::uint64_t in_strip = 5 * kBlockBytes;
        const Io io = array.segment_io(IoKind::read, BandId(7), 2,
                                       role * l.p.strip_bytes + in_strip, kBlockBytes, &block);
        const Location strip = array.locate(BandId(7), 2, role);
        CHECK(io.device == array.qlc[strip.drive]);  // null: the drive is missing
        CHECK(io.offset == strip.offset + in_strip);
        CHECK(io.bytes == kBlockBytes);
        CHECK(io.data == &block);
    }
}
