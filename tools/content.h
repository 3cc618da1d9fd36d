// SPDX-License-Identifier: Apache-2.0
// What verified loads write: each 512-byte sector records its place, its write and its run, and its
// other words follow from these. So any wrong sector is detected, and what it holds instead can be
// named.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace qlcshape::tools {

inline constexpr std::uint64_t kSector = 512;

// A write's number at its place, from 1; 0 is "not written by this run". With kZeroesStamp set the
// place was trimmed and reads as zeroes.
using Stamp = std::uint32_t;
inline constexpr Stamp kZeroesStamp = Stamp{1} << 31;

// Of one run: no two have the same, so that contents left by an earlier one are recognized.
std::uint64_t new_run_key(std::uint64_t seed);

// `bytes` is whole sectors; `offset` their place in the volume. Fills zeroes for kZeroesStamp.
void fill_content(std::span<std::byte> bytes, std::uint64_t offset, std::uint64_t run_key,
                  Stamp stamp);

bool content_is(std::span<const std::byte> bytes, std::uint64_t offset, std::uint64_t run_key,
                Stamp stamp);

// Describes what a wrong sector holds instead.
std::string describe_sector(std::span<const std::byte> sector, std::uint64_t offset,
                            std::uint64_t run_key, Stamp wanted);

}  // namespace qlcshape::tools
