// SPDX-License-Identifier: Apache-2.0
// P and Q of a row of blocks by the definition in docs/disk_format.md, not by src/raid6: P is the
// XOR of the data, Q the sum of 2^r times block r in GF(2^8) with the polynomial 0x11d. Also what
// one or two unknown blocks must have been.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "base/types.h"

namespace qlcshape::sim {

using BlockBytes = std::array<std::byte, kBlockBytes>;

// A null block counts as zeroes.
void parity_of(std::span<const std::byte* const> data, BlockBytes& p, BlockBytes& q);

// Block `role`, where `p` and `q` are the parity as read, and `known_p` and `known_q` that of all
// other data.
void solve_by_p(const std::byte* p, const BlockBytes& known_p, BlockBytes& block);
void solve_by_q(const std::byte* q, const BlockBytes& known_q, std::uint32_t role,
                BlockBytes& block);
// Blocks `first` and `second` of the data.
void solve_two(const std::byte* p, const std::byte* q, const BlockBytes& known_p,
               const BlockBytes& known_q, std::uint32_t first, std::uint32_t second, BlockBytes& a,
               BlockBytes& b);

}  // namespace qlcshape::sim
