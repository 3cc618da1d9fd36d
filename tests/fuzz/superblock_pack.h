// SPDX-License-Identifier: Apache-2.0
// The packed form of a superblock record, as the fuzzer's inputs have it: docs/disk_format.md tells
// the offsets.
#pragma once

#include <algorithm>
#include <vector>

#include "format/bits.h"
#include "format/superblock.h"
#include "input.h"

namespace qlcshape::fuzz {

inline constexpr std::size_t kSuperblockFixedBytes = 664;

struct SuperblockList {
    std::size_t at, bytes;
};

// Where the lists lie, and how long they are, by the counts of the record's fixed part.
inline std::vector<SuperblockList> superblock_lists(std::span<const std::byte> record) {
    const std::byte* r = record.data();
    auto bytes = [](std::size_t count, std::size_t most, std::size_t each) {
        return std::min(count, most) * each;
    };
    return {{4096, bytes(load<std::uint32_t>(r + 328), kMaxMembers, sizeof(MemberRecord))},
            {20480, bytes(load<std::uint32_t>(r + 332), kMaxVolumes, sizeof(VolumeRecord))},
            {45056, bytes(load<std::uint32_t>(r + 336), kMaxExtents, sizeof(VolumeExtent))}};
}

inline void unpack_superblock(Input& input, std::span<std::byte> record) {
    input.take(record.first(kSuperblockFixedBytes));
    for (const auto& list : superblock_lists(record))
        input.take(record.subspan(list.at, list.bytes));
}

inline std::vector<std::byte> pack_superblock(std::span<const std::byte> record) {
    std::vector<std::byte> packed(record.begin(), record.begin() + kSuperblockFixedBytes);
    for (const auto& list : superblock_lists(record)) {
        const auto part = record.subspan(list.at, list.bytes);
        packed.insert(packed.end(), part.begin(), part.end());
    }
    return packed;
}

}  // namespace qlcshape::fuzz
