// SPDX-License-Identifier: Apache-2.0
// A block of packed tombstones: "these LBAs were trimmed at this version".
//
//   0   u64 magic    8  u32 count    12  u32 reserved
//   16  count x { u64: LBA in bits 0..37, length in blocks - 1 in bits 38..46;  u64: version }
//
// An extent never crosses a PMT page, so one shard owns it. The block's checksum is the CRC in its
// slot's header entry.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "format/bits.h"
#include "format/layout.h"

namespace qlcshape {

struct Tombstone {
    Lba lba;
    std::uint32_t blocks = 0;  // 1..512
    Version version;
};

inline constexpr std::uint32_t kTombstonesPerBlock = (kBlockBytes - 16) / 16;
inline constexpr std::uint64_t kTombstoneMagic = 0x31424d4f54485351;  // "QSHTOMB1"

inline void store_tombstone(std::byte* block, std::uint32_t index, const Tombstone& t) {
    store<std::uint64_t>(block + 16 + index * 16,
                         t.lba.value | std::uint64_t{t.blocks - 1} << kLbaBits);
    store<std::uint64_t>(block + 24 + index * 16, t.version.value);
    store<std::uint64_t>(block, kTombstoneMagic);
    store<std::uint32_t>(block + 8, index + 1);
}

inline Tombstone load_tombstone(const std::byte* block, std::uint32_t index) {
    const auto word = load<std::uint64_t>(block + 16 + index * 16);
    Tombstone t;
    t.lba = Lba(word & ((std::uint64_t{1} << kLbaBits) - 1));
    t.blocks = static_cast<std::uint32_t>(word >> kLbaBits & 511) + 1;
    t.version = Version(load<std::uint64_t>(block + 24 + index * 16));
    return t;
}

// 0 if the block is not one: no magic, or an extent that crosses a page or has an impossible
// version.
inline std::uint32_t tombstone_count(const std::byte* block) {
    const auto count = load<std::uint32_t>(block + 8);
    if (load<std::uint64_t>(block) != kTombstoneMagic || count > kTombstonesPerBlock) return 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        const Tombstone t = load_tombstone(block, i);
        if (t.lba.value % kPageEntries + t.blocks > kPageEntries ||
            t.version.value >> kVersionBits != 0) {
            return 0;
        }
    }
    return count;
}

}  // namespace qlcshape
