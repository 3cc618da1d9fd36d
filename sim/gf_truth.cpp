// SPDX-License-Identifier: Apache-2.0
#include "sim/gf_truth.h"

#include <cstdint>
#include <cstring>

namespace qlcshape::sim {

namespace {

// As many bytes at once as every processor has registers for.
using Words [[gnu::vector_size(16)]] = std::uint64_t;

// Each byte times 2.
Words times_2(Words bytes) {
    const Words carries = bytes >> 7 & 0x0101010101010101;
    const Words reduced = carries ^ carries << 2 ^ carries << 3 ^ carries << 4;  // 0x1d
    return ((bytes << 1) & 0xfefefefefefefefe) ^ reduced;
}

std::uint8_t product(std::uint8_t a, std::uint8_t b) {
    unsigned sum = 0;
    for (unsigned shifted = a; b != 0; b = static_cast<std::uint8_t>(b >> 1)) {
        if ((b & 1) != 0) sum ^= shifted;
        shifted = (shifted << 1) ^ ((shifted & 0x80) != 0 ? 0x11d : 0);
    }
    return static_cast<std::uint8_t>(sum);
}

std::uint8_t power_of_2(std::uint32_t n) {
    std::uint8_t result = 1;
    while (n-- != 0) result = product(result, 2);
    return result;
}

std::uint8_t inverse(std::uint8_t a) {
    for (unsigned b = 1; b < 256; ++b) {
        if (product(a, static_cast<std::uint8_t>(b)) == 1) return static_cast<std::uint8_t>(b);
    }
    return 0;
}

// Of each byte its product with `factor`.
std::array<std::byte, 256> products(std::uint8_t factor) {
    std::array<std::byte, 256> table{};
    for (unsigned i = 0; i < 256; ++i)
        table[i] = std::byte{product(factor, static_cast<std::uint8_t>(i))};
    return table;
}

}  // namespace

// Q = (... (d[k-1] * 2 + d[k-2]) * 2 ...) * 2 + d[0]
void parity_of(std::span<const std::byte* const> data, BlockBytes& p, BlockBytes& q) {
    for (std::size_t at = 0; at < kBlockBytes; at += sizeof(Words)) {
        Words sum{}, weighted{}, one;
        for (std::size_t role = data.size(); role-- != 0;) {
            weighted = times_2(weighted);
            if (data[role] == nullptr) continue;
            std::memcpy(&one, data[role] + at, sizeof(one));
            sum ^= one;
            weighted ^= one;
        }
        std::memcpy(p.data() + at, &sum, sizeof(sum));
        std::memcpy(q.data() + at, &weighted, sizeof(weighted));
    }
}

void solve_by_p(const std::byte* p, const BlockBytes& known_p, BlockBytes& block) {
    for (std::size_t i = 0; i < kBlockBytes; ++i) block[i] = p[i] ^ known_p[i];
}

void solve_by_q(const std::byte* q, const BlockBytes& known_q, std::uint32_t role,
                BlockBytes& block) {
    const auto table = products(inverse(power_of_2(role)));
    for (std::size_t i = 0; i < kBlockBytes; ++i)
        block[i] = table[std::to_integer<std::size_t>(q[i] ^ known_q[i])];
}

// a + b = x and 2^first a + 2^second b = y, so (2^first + 2^second) a = y + 2^second x.
void solve_two(const std::byte* p, const std::byte* q, const BlockBytes& known_p,
               const BlockBytes& known_q, std::uint32_t first, std::uint32_t second, BlockBytes& a,
               BlockBytes& b) {
    const std::uint8_t two_first = power_of_2(first), two_second = power_of_2(second);
    const auto times_second = products(two_second);
    const auto divided = products(inverse(two_first ^ two_second));
    for (std::size_t i = 0; i < kBlockBytes; ++i) {
        const std::byte x = p[i] ^ known_p[i], y = q[i] ^ known_q[i];
        a[i] = divided[std::to_integer<std::size_t>(y ^
                                                    times_second[std::to_integer<std::size_t>(x)])];
        b[i] = x ^ a[i];
    }
}

}  // namespace qlcshape::sim
