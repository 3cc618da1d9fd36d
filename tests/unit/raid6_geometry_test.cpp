// SPDX-License-Identifier: Apache-2.0
// Where strips lie: roles and drives are each other's inverse, and parity is spread evenly.
#include <catch2/catch.hpp>
#include <set>
#include <vector>

#include "raid6/geometry.h"

using namespace qlcshape;

TEST_CASE("geometry: role_of is the inverse of drive_of") {
    const std::uint32_t k = GENERATE(2u, 3u, 8u, 32u);
    const StripeGeometry geometry{k};
    REQUIRE(geometry.width() == k + 2);
    for (std::uint64_t stripe : {0ull, 1ull, 2ull, 9ull, 10ull, 12'345ull, (1ull << 40) + 3}) {
        std::set<std::uint32_t> drives;
        for (std::uint32_t role = 0; role < geometry.width(); ++role) {
            const std::uint32_t drive = geometry.drive_of(stripe, role);
            CHECK(drive < geometry.width());
            CHECK(geometry.role_of(stripe, drive) == role);
            drives.insert(drive);
        }
        CHECK(drives.size() == geometry.width());
    }
}

TEST_CASE("geometry: each drive holds P and Q equally often") {
    const std::uint32_t k = GENERATE(2u, 3u, 8u, 32u);
    const StripeGeometry geometry{k};
    constexpr unsigned kRounds = 3;
    std::vector<unsigned> p(geometry.width());
    std::vector<unsigned> q(geometry.width());
    for (std::uint64_t stripe = 100; stripe < 100 + kRounds * geometry.width(); ++stripe) {
        ++p[geometry.drive_of(stripe, k)];
        ++q[geometry.drive_of(stripe, k + 1)];
    }
    for (std::uint32_t drive = 0; drive < geometry.width(); ++drive) {
        CHECK(p[drive] == kRounds);
        CHECK(q[drive] == kRounds);
    }
}
