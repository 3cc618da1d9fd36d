// SPDX-License-Identifier: Apache-2.0
// What the store keeps in its volume, in blocks of 4096 bytes:
//
//   block 0                          header
//   blocks 1 .. buckets              the index: bucket b at block 1 + b; zeroes are an empty bucket
//   the rest                         the heap: extents of large values and of overgrown buckets
//
// A key belongs to the bucket `hash(key) % buckets`. A bucket is a BucketHead and its records, each
// a RecordHead, the key, and the value or, if that is large, the first block of its extent. A
// bucket that outgrows its block moves into an extent of a power of two of blocks, and its block in
// the index holds only a head that leads there.
//
// Nothing has a checksum: the engine returns no byte unchecked. Numbers are little-endian.
#pragma once

#include <qlcshape/volume.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kv_store {

inline constexpr std::uint64_t kBlockBytes = qlcshape::kVolumeBlockBytes;

inline constexpr std::size_t kMaxKeyBytes = 1 << 10;
inline constexpr std::size_t kMaxValueBytes = 512 << 10;
inline constexpr std::size_t kMaxInlineValueBytes = 1 << 10;
// One atomic write, also where the volume promises no more than it must.
inline constexpr std::size_t kMaxBucketBytes = 64 << 10;

struct Header {
    char magic[8];
    std::uint32_t version;
    std::uint32_t block_bytes;
    std::uint64_t blocks;   // of the volume
    std::uint64_t buckets;  // of the index
};
static_assert(sizeof(Header) == 32);
inline constexpr char kMagic[8] = {'Q', 'L', 'C', 'S', '-', 'K', 'V', '\0'};
inline constexpr std::uint32_t kVersion = 1;

// Contiguous blocks of the volume.
struct Extent {
    std::uint64_t first = 0;
    std::uint64_t blocks = 0;
    std::uint64_t offset_bytes() const { return first * kBlockBytes; }
    std::uint64_t bytes() const { return blocks * kBlockBytes; }
};

enum class BucketKind : std::uint32_t { empty = 0, records = 0x314b4251, elsewhere = 0x324b4251 };

struct BucketHead {
    BucketKind kind;
    std::uint32_t records;  // how many
    std::uint64_t bucket;   // which one this is
    std::uint64_t bytes;    // with this head
    Extent body;            // elsewhere: where the records are
};
static_assert(sizeof(BucketHead) == 40);

struct RecordHead {
    std::uint16_t key_bytes;
    std::uint16_t in_extent;  // 1: the key is followed by the number of a block, 0: by the value
    std::uint32_t value_bytes;
};
static_assert(sizeof(RecordHead) == 8);
static_assert(std::endian::native == std::endian::little);

inline std::uint64_t blocks_for(std::uint64_t bytes) {
    return (bytes + kBlockBytes - 1) / kBlockBytes;
}

// A quarter of the volume is index: full of small records, buckets then are a few blocks long.
inline std::uint64_t buckets_for(std::uint64_t volume_blocks) { return volume_blocks / 4; }

// FNV-1a, and a last mix, since its low bits alone are poor.
inline std::uint64_t hash(std::string_view key) {
    std::uint64_t h = 0xcbf29ce484222325;
    for (const char c : key) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
    return h ^ (h >> 33);
}

}  // namespace kv_store
