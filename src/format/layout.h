// SPDX-License-Identifier: Apache-2.0
// The sizes and places of everything in an array, derived from its few parameters. Writers and
// readers of every structure compute places here and nowhere else. docs/disk_format.md has the same
// in words.
//
// A QLC drive:  [superblock unit 0][superblock unit 1][slot 2][slot 3]...  each of band_bytes
// An SCM drive: [superblock unit 0][superblock unit 1][band table][snapshots][bitmap][TPS][PMT]
//
// create plans the five regions of an SCM drive; from then on they are where the superblock says.
#pragma once

#include <bitset>
#include <cstdint>

#include "base/error.h"
#include "base/types.h"

namespace qlcshape {

inline constexpr std::uint64_t kSuperblockRecordMin = 128 * KiB;
inline constexpr std::uint32_t kSuperblockSlots = 16;  // records in a unit before the other is used
inline constexpr std::uint32_t kSegmentFixedBytes = 256;
inline constexpr std::uint32_t kEntryBytes = 15;
inline constexpr std::uint32_t kBandRecordBytes = 48;  // without its columns
inline constexpr std::uint32_t kBandPageHeaderBytes = 64;
inline constexpr std::uint32_t kColumnBytes = 4;
inline constexpr std::uint32_t kSuperblockUnits = 2;  // at the start of a drive
// Pages of the PMT that a page of its bitmap tells of: a header of 64 bytes, then the bits.
inline constexpr std::uint32_t kBitmapHeaderBytes = 64;
inline constexpr std::uint64_t kBitmapPageBits = (kBlockBytes - kBitmapHeaderBytes) * 8;
inline constexpr std::uint32_t kSnapshotFixedBytes = 384;
inline constexpr std::uint32_t kSnapshotBandBytes = 16;
inline constexpr std::uint32_t kLbaBits = 38;
inline constexpr std::uint32_t kVersionBits = 48;
inline constexpr std::uint32_t kMaxShards = 64;
inline constexpr std::uint64_t kMinSegmentBytes = 128 * KiB;
// A write of up to this size in one PMT page is atomic, wherever it begins.
inline constexpr std::uint64_t kAtomicWriteBytes = 64 * KiB;
// The blocks that one can touch: the first and the last may be covered in part.
inline constexpr std::uint32_t kAtomicWriteBlocks = kAtomicWriteBytes / kBlockBytes + 1;
// What doesn't fit in a segment must leave room in the next, so that all of it goes into one
// record. The smallest segment has one header block.
static_assert(kAtomicWriteBlocks < kMinSegmentBytes / kBlockBytes - 1);

// A shard's limit on segments in RAM: one is being filled, the others are being written to the QLC
// drives.
inline constexpr std::uint32_t kRamSegments = 8;
// A collector's limit on segments of the GC stream.
inline constexpr std::uint32_t kGcTargets = 4;

inline constexpr std::uint32_t kMaxScm = 8;
inline constexpr std::uint32_t kMaxQlc = 120;
using ScmSet = std::bitset<kMaxScm>;  // scm drives by index
// Of a page of the PMT, on as many scm drives.
inline constexpr std::uint32_t kMaxPmtCopies = 2;

// Bands that an array may ever have, and by default for one that is made.
inline constexpr std::uint32_t kMaxBands = std::uint32_t{1} << 30;
inline constexpr std::uint32_t kBandsToGrow = 4;  // times as many as there are

// A part of an SCM drive, bytes; the same on each.
struct Region {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    bool operator==(const Region&) const = default;
};

struct ScmRegions {
    Region band_table;
    Region snapshots;
    Region bitmap;
    Region tps;
    Region pmt;
    bool operator==(const ScmRegions&) const = default;
};

// What an array is made from. Written into every superblock.
struct ArrayParameters {
    std::uint32_t data_strips = 8;
    std::uint32_t qlc_count = 10;
    std::uint32_t scm_count = 2;
    std::uint64_t strip_bytes = 128 * KiB;
    std::uint64_t band_bytes = 128 * MiB;  // on one drive
    std::uint64_t qlc_bytes = 0;           // capacity used of every QLC drive: the smallest
    std::uint64_t scm_bytes = 0;
    std::uint32_t overprovision_ppm = 200000;
    std::uint32_t max_shards = 1;  // what TPS and reserve are sized for
    std::uint32_t max_gc_threads = 1;
    std::uint32_t max_bands = 0;  // 0, and no regions: make_layout() plans them
    ScmRegions regions;
    std::uint32_t pmt_copies = 1;  // of each page of the PMT, 1 or 2. 0: make_layout() chooses
    // Room of as many QLC drives is kept free, spread over all of them, for columns of lost ones.
    std::uint32_t spare_drives = 0;
};

// Whether these scm drives, of `count`, have one of the `copies` of every page of the PMT.
inline bool pmt_whole_on(const ScmSet& drives, std::uint32_t count, std::uint32_t copies) {
    for (std::uint32_t d = 0; d < count; ++d) {
        if (!drives[d] && (copies == 1 || !drives[(d + 1) % count])) return false;
    }
    return true;
}

struct ArrayLayout {
    ArrayParameters p;

    // Segments and bands.
    std::uint32_t blocks_per_segment = 0;  // header blocks included
    std::uint32_t header_blocks = 0;
    std::uint32_t slots_per_segment = 0;  // blocks_per_segment - header_blocks
    std::uint32_t segments_per_band = 0;
    std::uint32_t bands = 0;
    std::uint32_t band_slots = 0;     // of a QLC drive: how many columns of bands it can have
    std::uint64_t segment_bytes = 0;  // k strips

    // Space.
    std::uint32_t recovery_bands = 0;  // of reserve_bands: kept free for recovery
    std::uint32_t reserve_bands = 0;
    std::uint64_t writable_blocks = 0;  // what volumes can be promised in all

    // PMT entries.
    std::uint32_t slot_bits = 0;  // of a PBA: the rest is the stripe
    std::uint32_t pba_bits = 0;
    std::uint32_t crc_bits = 0;  // of the block's CRC-32C, in addition to the PBA
    std::uint64_t pmt_pages = 0;

    // Places on a drive, bytes.
    std::uint64_t superblock_record_bytes = 0;
    std::uint64_t qlc_superblock_unit_bytes = 0;
    std::uint64_t scm_superblock_unit_bytes = 0;
    std::uint64_t band_table_offset = 0;
    std::uint64_t band_table_pages = 0;  // each in two copies, A then B
    std::uint64_t snapshot_offset = 0;
    std::uint64_t snapshot_bytes = 0;  // of one record; there are two places
    std::uint64_t bitmap_offset = 0;
    std::uint64_t bitmap_pages = 0;  // each in two places, A then B
    std::uint64_t tps_offset = 0;
    std::uint64_t tps_bytes = 0;  // shared evenly by the shards of an epoch
    std::uint64_t pmt_offset = 0;

    // A QLC drive is divided into slots, each for a column of a band. The first are its superblock
    // units.
    std::uint64_t slot_offset(std::uint32_t drive_slot) const { return drive_slot * p.band_bytes; }
    // Of reserve_bands: kept free for GC.
    std::uint32_t gc_bands() const { return p.max_gc_threads + 2; }
    std::uint32_t drive_slots() const { return kSuperblockUnits + band_slots; }
    std::uint32_t band_record_bytes() const {  // a multiple of 8, as its fields are aligned
        return static_cast<std::uint32_t>(round_up(kBandRecordBytes + kColumnBytes * width(), 8));
    }
    std::uint32_t bands_per_page() const {
        return static_cast<std::uint32_t>((kBlockBytes - kBandPageHeaderBytes) /
                                          band_record_bytes());
    }
    std::uint64_t stripe_number(BandId band, std::uint32_t segment) const {
        return std::uint64_t{band.value} * segments_per_band + segment;
    }
    std::uint32_t strip_blocks() const {
        return static_cast<std::uint32_t>(p.strip_bytes / kBlockBytes);
    }
    std::uint32_t slots_per_band() const { return slots_per_segment * segments_per_band; }
    std::uint32_t width() const { return p.data_strips + 2; }  // strips of a stripe
    // Where the header ends in a segment, and where a slot begins: bytes.
    std::uint64_t header_bytes() const { return std::uint64_t{header_blocks} * kBlockBytes; }
    std::uint64_t slot_byte(std::uint32_t slot) const {
        return std::uint64_t{header_blocks + slot} * kBlockBytes;
    }

    // A slot is an index into the segment's header.
    //
    //   | band x segments_per_band + segment | slot |      bands from max_bands on: places in the
    //                                      slot_bits     TPS, which no entry names yet
    Pba pba(BandId band, std::uint32_t segment, std::uint32_t slot) const {
        return Pba(stripe_number(band, segment) << slot_bits | slot);
    }
    std::uint64_t stripe_of(Pba pba) const { return pba.value >> slot_bits; }
    BandId band_of(Pba pba) const {
        return BandId(static_cast<std::uint32_t>(stripe_of(pba) / segments_per_band));
    }
    std::uint32_t segment_of(Pba pba) const {
        return static_cast<std::uint32_t>(stripe_of(pba) % segments_per_band);
    }
    std::uint32_t slot_of(Pba pba) const {
        return static_cast<std::uint32_t>(pba.value & ((std::uint64_t{1} << slot_bits) - 1));
    }
    // Whether there is such a slot: band_of() and the others may be asked of no other PBA.
    bool is_slot(Pba pba) const {
        return stripe_of(pba) < std::uint64_t{bands} * segments_per_band &&
               slot_of(pba) < slots_per_segment;
    }

    // Copy c of PMT page p is on scm drive (p + c) % scm_count. Each drive has all of its copies 0
    // first, then all of its copies 1: runs of pages are runs on the drives.
    //
    //   drive   copy 0   copy 1      two copies on three drives
    //   0       0 3 6    2 5 8
    //   1       1 4 7    0 3 6
    //   2       2 5 8    1 4 7
    std::uint32_t pmt_drive(PageId page, std::uint32_t copy = 0) const {
        return static_cast<std::uint32_t>((page.value + copy) % p.scm_count);
    }
    std::uint64_t pmt_page_offset(PageId page, std::uint32_t copy = 0) const {
        const std::uint64_t part = round_down(p.regions.pmt.bytes / p.pmt_copies, kBlockBytes);
        return pmt_offset + copy * part + page.value / p.scm_count * kBlockBytes;
    }
    bool pmt_page_on(PageId page, std::uint64_t drive) const {
        return pmt_drive(page) == drive || (p.pmt_copies > 1 && pmt_drive(page, 1) == drive);
    }
    bool pmt_whole_on(const ScmSet& drives) const {
        return qlcshape::pmt_whole_on(drives, p.scm_count, p.pmt_copies);
    }
    std::uint64_t band_page_offset(std::uint64_t page, std::uint32_t copy) const {
        return band_table_offset + (page * 2 + copy) * kBlockBytes;
    }

    std::uint64_t bitmap_page_offset(std::uint64_t page, std::uint64_t generation) const {
        return bitmap_offset + (page * 2 + (generation & 1)) * kBlockBytes;
    }

    std::uint64_t snapshot_place(std::uint64_t generation) const {
        return snapshot_offset + (generation & 1) * snapshot_bytes;
    }
    // Bands that can be open at once: two of each stream, and those whose last segments are still
    // in RAM.
    std::uint32_t snapshot_bands() const {
        return 4 + kRamSegments * p.max_shards + kGcTargets * p.max_gc_threads;
    }

    // The part of every TPS that shard `shard` of `shards` writes, a ring of whole blocks.
    std::uint64_t tps_ring_bytes(std::uint32_t shards) const {
        return round_down(tps_bytes / shards, kBlockBytes);
    }
    std::uint64_t tps_ring_offset(std::uint32_t shards, std::uint32_t shard) const {
        return tps_offset + shard * tps_ring_bytes(shards);
    }

    // The smallest ring a shard can run on.
    static std::uint64_t min_tps_ring_bytes(std::uint64_t segment_bytes);
};

// Refuses parameters that can't work, and says which would.
Result<ArrayLayout> make_layout(const ArrayParameters& parameters);

}  // namespace qlcshape
