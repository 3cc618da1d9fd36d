// SPDX-License-Identifier: Apache-2.0
// P, Q and their inverse over GF(2^8), by ISA-L. Strips are numbered by role: 0..k-1 data, k is P,
// k+1 is Q. Any thread; no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"

namespace qlcshape {

inline constexpr std::uint32_t kMinDataStrips = 2;
inline constexpr std::uint32_t kMaxDataStrips = 32;

// Fills strips[k] (P) and strips[k+1] (Q) from strips[0..k-1]. strips.size() == k + 2; each has
// `bytes` bytes (a multiple of 32), 64-byte aligned.
void compute_parity(std::span<std::byte* const> strips, std::size_t bytes);

// Rebuilds the strips named in `lost` (one or two roles, each once) from all the others, in place.
// The same layout as compute_parity; any part of a strip may be rebuilt from the same part of the
// others (`bytes` is then the part's length).
void reconstruct(std::span<std::byte* const> strips, std::size_t bytes,
                 std::span<const std::uint32_t> lost);

}  // namespace qlcshape
