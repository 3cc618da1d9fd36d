// SPDX-License-Identifier: Apache-2.0
// Parity and its inverse: every loss of one or two strips comes back, for small and large stripes.
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "raid6/parity.h"

using namespace qlcshape;

namespace {

constexpr std::size_t kStripBytes = 4096;

struct Stripe {
    Buffer memory;
    std::vector<std::byte*> strips;

    Stripe(std::uint32_t data_strips, std::uint64_t seed)
        : memory((data_strips + 2) * kStripBytes) {
        Random random(seed);
        for (std::byte& byte : memory.span()) byte = static_cast<std::byte>(random.next());
        for (std::uint32_t role = 0; role < data_strips + 2; ++role) {
            strips.push_back(memory.data() + role * kStripBytes);
        }
        compute_parity(strips, kStripBytes);
    }
};

bool comes_back(Stripe& stripe, std::vector<std::uint32_t> lost, std::size_t begin = 0,
                std::size_t bytes = kStripBytes) {
    const std::vector<std::byte> before(stripe.memory.data(),
                                        stripe.memory.data() + stripe.memory.size());
    std::vector<std::byte*> parts;
    for (std::byte* strip : stripe.strips) parts.push_back(strip + begin);
    for (const std::uint32_t role : lost) std::memset(parts[role], 0xa5, bytes);
    reconstruct(parts, bytes, lost);
    return std::memcmp(before.data(), stripe.memory.data(), before.size()) == 0;
}

std::uint8_t times_two(std::uint8_t x) {
    return static_cast<std::uint8_t>((x << 1) ^ ((x & 0x80) != 0 ? 0x1d : 0));
}

}  // namespace

TEST_CASE("parity: P is the sum, Q the sum of powers of two times data") {
    Stripe stripe(8, 1);
    for (std::size_t at : {std::size_t{0}, std::size_t{1000}, kStripBytes - 1}) {
        std::uint8_t p = 0;
        std::uint8_t q = 0;
        for (std::uint32_t role = 8; role-- > 0;) {
            const auto byte = static_cast<std::uint8_t>(stripe.strips[role][at]);
            p = static_cast<std::uint8_t>(p ^ byte);
            q = static_cast<std::uint8_t>(times_two(q) ^ byte);
        }
        CHECK(static_cast<std::uint8_t>(stripe.strips[8][at]) == p);
        CHECK(static_cast<std::uint8_t>(stripe.strips[9][at]) == q);
    }
}

TEST_CASE("parity: any one or two lost strips come back") {
    const std::uint32_t k = GENERATE(2u, 3u, 4u, 8u, 13u, 31u, 32u);
    Stripe stripe(k, k);
    for (std::uint32_t a = 0; a < k + 2; ++a) {
        INFO("k " << k << " lost " << a);
        REQUIRE(comes_back(stripe, {a}));
        for (std::uint32_t b = 0; b < k + 2; ++b) {
            INFO("and " << b);
            if (b != a) REQUIRE(comes_back(stripe, {a, b}));
        }
    }
}

TEST_CASE("parity: a part of a strip is rebuilt from the same part of the others") {
    Stripe stripe(8, 7);
    CHECK(comes_back(stripe, {1, 8}, 512, 1024));
    CHECK(comes_back(stripe, {0, 5}, 4032, 64));
    CHECK(comes_back(stripe, {8, 9}, 64, 32));
}
