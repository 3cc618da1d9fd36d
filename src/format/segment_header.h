// SPDX-License-Identifier: Apache-2.0
// The header of a segment: the first block (or more: ArrayLayout::header_blocks) of every stripe's
// data. It describes the other blocks, for GC, for recovery, and to verify a reconstruction.
// Byte layout: docs/disk_format.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "base/types.h"
#include "base/uuid.h"
#include "format/entry.h"
#include "format/layout.h"

namespace qlcshape {

struct SegmentHeaderFixed {
    std::uint64_t magic;
    std::uint32_t crc;  // of all header blocks with this field zero
    std::uint16_t format;
    std::uint16_t header_blocks;
    Uuid array;
    std::uint32_t band;
    std::uint32_t segment;
    std::uint64_t band_sequence;
    std::uint64_t epoch;     // of the open that wrote it
    std::uint32_t frontier;  // segments of this band that were durable when this was written
    std::uint16_t slots;
    std::uint8_t stream;
    std::uint8_t shard;         // who wrote it; 255 for GC and recovery
    std::uint64_t min_version;  // lowest version in the segment, tombstones included
    std::uint64_t max_version;
    std::uint32_t p_crc;  // of the P strip
    std::uint32_t q_crc;
    std::uint64_t key_id;  // 0: not encrypted
    // The shard's TPS records were acknowledged up to this sequence; 0: GC's or recovery's segment.
    std::uint64_t tps_acked;
    std::uint8_t entry_format;
    std::uint8_t contents;  // 0: blocks of data; 1 will be a band's index
    std::uint8_t reserved[150];
};
static_assert(sizeof(SegmentHeaderFixed) == kSegmentFixedBytes);
static_assert(offsetof(SegmentHeaderFixed, array) == 16);
static_assert(offsetof(SegmentHeaderFixed, band_sequence) == 40);
static_assert(offsetof(SegmentHeaderFixed, frontier) == 56);
static_assert(offsetof(SegmentHeaderFixed, p_crc) == 80);
static_assert(offsetof(SegmentHeaderFixed, key_id) == 88);
static_assert(offsetof(SegmentHeaderFixed, tps_acked) == 96);
static_assert(offsetof(SegmentHeaderFixed, entry_format) == 104);
static_assert(offsetof(SegmentHeaderFixed, contents) == 105);
static_assert(offsetof(SegmentHeaderFixed, reserved) == 106);

inline constexpr std::uint64_t kSegmentMagic = 0x3147455345504853;  // "SHPESEG1"

// A view over the header blocks in memory: header_blocks * 4096 bytes.
class SegmentHeader {
  public:
    SegmentHeader(const ArrayLayout& layout, std::byte* bytes) : layout_(&layout), bytes_(bytes) {}

    SegmentHeaderFixed& fixed() { return *reinterpret_cast<SegmentHeaderFixed*>(bytes_); }
    const SegmentHeaderFixed& fixed() const {
        return *reinterpret_cast<const SegmentHeaderFixed*>(bytes_);
    }
    Entry entry(std::uint32_t slot) const { return load_entry(at(slot)); }
    void set_entry(std::uint32_t slot, const Entry& entry) { store_entry(at(slot), entry); }
    std::span<std::byte> bytes() const { return {bytes_, layout_->header_bytes()}; }

    // Writer: all fields but magic, formats, counts and CRC are set before; nothing changes after.
    void seal();

    // Reader: whether these bytes are a complete header of this array for this place. The caller
    // compares the band's sequence: another one means an old life of the band.
    bool intact(const Uuid& array, BandId band, std::uint32_t segment) const;
    // Of an intact one: what in it this program can't read, "entry format 2"; or empty.
    std::string unknown() const;
    // Whether it is intact, and this program can read it, and its entries are possible in this
    // array.
    bool valid(const Uuid& array, BandId band, std::uint32_t segment) const;
    // Of a valid one: whether these blocks, which begin at byte `at` of the data strip `role`, have
    // the checksums that it has for them. Slots that hold nothing have that of zeroes, which is
    // what they are; the header's own blocks are left out.
    bool blocks_fit(std::uint32_t role, std::uint64_t at, std::span<const std::byte> blocks) const;

  private:
    std::byte* at(std::uint32_t slot) const {
        return bytes_ + kSegmentFixedBytes + slot * kEntryBytes;
    }
    bool entries_fit() const;
    std::uint32_t computed_crc() const;
    const ArrayLayout* layout_;
    std::byte* bytes_;
};

}  // namespace qlcshape
