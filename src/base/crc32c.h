// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli), as iSCSI and NVMe use it: the checksum of everything on media.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qlcshape {

std::uint32_t crc32c(std::span<const std::byte> bytes);

// Continues a checksum: crc32c(a + b) == crc32c_continue(crc32c(a), b).
std::uint32_t crc32c_continue(std::uint32_t crc, std::span<const std::byte> bytes);

// Of bytes that have their own checksum in the four at `field`: with those as zeroes.
std::uint32_t crc32c_without(std::span<const std::byte> bytes, std::size_t field);

// Copies one block and returns its checksum, reading it while the copy is in cache.
std::uint32_t copy_block_crc32c(std::byte* to, const std::byte* from);

// The checksum of a block of zeroes.
std::uint32_t zero_block_crc32c();

}  // namespace qlcshape
