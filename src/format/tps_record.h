// SPDX-License-Identifier: Apache-2.0
// A record of the TPS: a header of one or more blocks, then the blocks of its data entries in
// order. It makes writes and trims durable at once, and applies completely or not at all. Byte
// layout: docs/disk_format.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/types.h"
#include "base/uuid.h"
#include "format/entry.h"

namespace qlcshape {

struct TpsRecordFixed {
    std::uint64_t magic;
    std::uint32_t crc;  // of the header blocks with this field zero
    std::uint16_t format;
    std::uint16_t header_blocks;
    Uuid array;
    std::uint64_t epoch;
    std::uint64_t epoch_key;  // random for each epoch: user data can't be mistaken for a record
    std::uint32_t shard;
    std::uint32_t payload_blocks;
    std::uint64_t sequence;       // from 1 in each epoch, without gaps
    std::uint64_t position;       // of this block in the ring, bytes
    std::uint64_t acked_through;  // sequence through which writes had been acknowledged
    std::uint64_t tail;           // lowest sequence still needed
    std::uint64_t band_sequence;  // of the user stream's band
    std::uint32_t band;
    std::uint32_t frontier;  // its durable segments
    std::uint32_t entries;
    std::uint8_t entry_format;
    std::uint8_t reserved0[3];
    std::uint64_t key_id;  // 0: not encrypted
    std::uint8_t reserved[136];
};
static_assert(sizeof(TpsRecordFixed) == 256);
static_assert(offsetof(TpsRecordFixed, header_blocks) == 14);
static_assert(offsetof(TpsRecordFixed, array) == 16);
static_assert(offsetof(TpsRecordFixed, sequence) == 56);
static_assert(offsetof(TpsRecordFixed, frontier) == 100);
static_assert(offsetof(TpsRecordFixed, entry_format) == 108);
static_assert(offsetof(TpsRecordFixed, key_id) == 112);
static_assert(offsetof(TpsRecordFixed, reserved) == 120);

inline constexpr std::uint64_t kTpsMagic = 0x3153505445504853;  // "SHPETPS1"
inline constexpr std::uint32_t kTpsTrims = 256;                 // most tombstones in a record
// Most entries of a record: what is left of one segment, all of the next, and trims.
constexpr std::uint64_t tps_max_entries(const ArrayLayout& l) {
    return 2 * std::uint64_t{l.slots_per_segment} + kTpsTrims;
}

constexpr std::uint32_t tps_header_blocks(std::uint64_t entries) {
    return static_cast<std::uint32_t>(
        div_up(sizeof(TpsRecordFixed) + entries * kEntryBytes, kBlockBytes));
}

// A view over a record's header in memory.
class TpsRecord {
  public:
    // All bytes from the header on; there may be more than the header needs.
    explicit TpsRecord(std::span<std::byte> bytes) : bytes_(bytes) {}
    TpsRecordFixed& fixed() { return *reinterpret_cast<TpsRecordFixed*>(bytes_.data()); }
    const TpsRecordFixed& fixed() const {
        return *reinterpret_cast<const TpsRecordFixed*>(bytes_.data());
    }
    Entry entry(std::uint32_t index) const { return load_entry(at(index)); }
    void set_entry(std::uint32_t index, const Entry& e) { store_entry(at(index), e); }
    std::uint64_t header_bytes() const {
        return std::uint64_t{tps_header_blocks(fixed().entries)} * kBlockBytes;
    }
    std::uint64_t bytes() const {
        return header_bytes() + std::uint64_t{fixed().payload_blocks} * kBlockBytes;
    }

    void seal();
    // Whether a complete record header of this epoch is here, written for this place of this ring;
    // of entries in whatever format.
    bool intact(const Uuid& array, std::uint64_t epoch, std::uint64_t epoch_key,
                std::uint32_t shard, std::uint64_t position) const;
    // Of an intact one: what in it this program can't read, "entry format 2"; or empty.
    std::string unknown() const;
    // Whether it is intact, and this program can read it.
    bool valid(const Uuid& array, std::uint64_t epoch, std::uint64_t epoch_key, std::uint32_t shard,
               std::uint64_t position) const;
    // Of a valid one: whether all of it is here, and its entries are possible in an array of this
    // layout.
    bool fits(const ArrayLayout& layout) const;
    // Of one that fits: whether every block of its payload matches its entry.
    bool payload_whole() const;

  private:
    std::byte* at(std::uint32_t index) const {
        return bytes_.data() + sizeof(TpsRecordFixed) + std::size_t{index} * kEntryBytes;
    }
    std::uint32_t computed_crc() const;
    std::span<std::byte> bytes_;
};

}  // namespace qlcshape
