// SPDX-License-Identifier: Apache-2.0
#include "tools/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "base/assert.h"
#include "base/zeroes.h"

namespace qlcshape::tools {

namespace {

constexpr std::size_t kWords = kSector / 8;
using Sector = std::array<std::uint64_t, kWords>;  // number, stamp, run key, then what follows

std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void make_sector(Sector& words, std::uint64_t number, std::uint64_t run_key, Stamp stamp) {
    words[0] = number;
    words[1] = stamp;
    words[2] = run_key;
    std::uint64_t state = mix(number ^ mix(run_key + stamp));
    for (std::size_t i = 3; i < kWords; ++i) {
        state = state * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
        words[i] = state ^ (state >> 29);
    }
}

}  // namespace

std::uint64_t new_run_key(std::uint64_t seed) {
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    return mix(mix(static_cast<std::uint64_t>(now)) ^ seed);
}

void fill_content(std::span<std::byte> bytes, std::uint64_t offset, std::uint64_t run_key,
                  Stamp stamp) {
    QS_ASSERT(bytes.size() % kSector == 0 && offset % kSector == 0);
    if ((stamp & kZeroesStamp) != 0) {
        std::memset(bytes.data(), 0, bytes.size());
        return;
    }
    Sector words;
    for (std::size_t at = 0; at < bytes.size(); at += kSector) {
        make_sector(words, (offset + at) / kSector, run_key, stamp);
        std::memcpy(bytes.data() + at, words.data(), kSector);
    }
}

bool content_is(std::span<const std::byte> bytes, std::uint64_t offset, std::uint64_t run_key,
                Stamp stamp) {
    QS_ASSERT(bytes.size() % kSector == 0 && offset % kSector == 0);
    if ((stamp & kZeroesStamp) != 0) return all_zero(bytes);
    Sector words;
    for (std::size_t at = 0; at < bytes.size(); at += kSector) {
        make_sector(words, (offset + at) / kSector, run_key, stamp);
        if (std::memcmp(bytes.data() + at, words.data(), kSector) != 0) return false;
    }
    return true;
}

std::string describe_sector(std::span<const std::byte> sector, std::uint64_t offset,
                            std::uint64_t run_key, Stamp wanted) {
    Sector found, proof;
    std::memcpy(found.data(), sector.data(), kSector);
    const std::string expected = (wanted & kZeroesStamp) != 0
                                     ? std::string("zeroes")
                                     : fmt::format("write {} to it", wanted);
    const auto say = [&](const std::string& what) {
        return fmt::format("sector at offset {}: expected {}, found {}", offset, expected, what);
    };
    if (all_zero(sector)) return say("zeroes");
    if (found[2] != run_key) return say("bytes of no write of this run");
    make_sector(proof, found[0], run_key, static_cast<Stamp>(found[1]));
    if (proof != found) return say("a damaged sector");
    if (found[0] != offset / kSector)
        return say(fmt::format("the sector of offset {}", found[0] * kSector));
    return say(fmt::format("write {} to it", found[1]));
}

}  // namespace qlcshape::tools
