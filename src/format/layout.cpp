// SPDX-License-Identifier: Apache-2.0
#include "format/layout.h"
#include "base/size_text.h"

#include <algorithm>
#include <bit>
#include <vector>

namespace qlcshape {

namespace {

constexpr std::uint32_t kVolumePagesSlack = 128;  // volumes are rounded up to whole PMT pages
constexpr std::uint32_t kMinSpareBands = 4;       // open bands may contain garbage: see below
// Of the 64 bits of an entry one is for the page's trailer, one for the kind, 16 for the CRC.
constexpr std::uint32_t kMaxPbaBits = 46;

// Smallest h so that the fixed part and one entry for each other block fit in h blocks.
std::uint32_t header_blocks_for(std::uint32_t blocks) {
    std::uint32_t h = 1;
    while (kSegmentFixedBytes + std::uint64_t{kEntryBytes} * (blocks - h) >
           std::uint64_t{h} * kBlockBytes)
        ++h;
    return h;
}

Status check_band(const ArrayParameters& p) {
    if (p.band_bytes % p.strip_bytes != 0 || p.band_bytes / p.strip_bytes < 4) {
        return fail(Errc::invalid_argument,
                    "band is {}: it must be a multiple of the strip ({}), at least 4 strips",
                    size_text(p.band_bytes), size_text(p.strip_bytes));
    }
    if (p.band_bytes < kSuperblockRecordMin) {
        return fail(Errc::invalid_argument,
                    "band is {}: it must be at least {}, for a superblock to fit in it",
                    size_text(p.band_bytes), size_text(kSuperblockRecordMin));
    }
    // Numbers of bands, and of a band's segments and blocks, have 32 bits, PBAs 46.
    if (p.qlc_bytes / kBlockBytes > (std::uint64_t{1} << kMaxPbaBits) / p.data_strips ||
        p.qlc_bytes / p.band_bytes > UINT32_MAX) {
        return fail(Errc::unsupported, "an array of {} qlc devices of {} is too large", p.qlc_count,
                    size_text(p.qlc_bytes));
    }
    if (p.band_bytes / kBlockBytes > UINT32_MAX / p.data_strips) {
        return fail(Errc::invalid_argument, "band is {}: it is too large", size_text(p.band_bytes));
    }
    return {};
}

Status check_drives(const ArrayParameters& p) {
    const std::uint32_t width = p.data_strips + 2;
    if (p.qlc_count < width || p.qlc_count > kMaxQlc) {
        return fail(
            Errc::invalid_argument,
            "{} qlc devices for data_strips = {}: a stripe is k data strips + P + Q, so give "
            "{} to {}",
            p.qlc_count, p.data_strips, width, kMaxQlc);
    }
    if (p.spare_drives > p.qlc_count - width) {
        return fail(Errc::invalid_argument,
                    "spare_drives is {}: with {} qlc devices and stripes of {} it can be at most "
                    "{}",
                    p.spare_drives, p.qlc_count, width, p.qlc_count - width);
    }
    return {};
}

Status check_shape(const ArrayParameters& p) {
    if (p.data_strips < 2 || p.data_strips > 32) {
        return fail(Errc::invalid_argument, "data_strips is {}: it must be from 2 to 32",
                    p.data_strips);
    }
    QS_TRY(check_drives(p));
    if (p.scm_count < 1 || p.scm_count > kMaxScm) {
        return fail(Errc::invalid_argument, "{} scm devices: give 1 to 8 (2 for a mirrored TPS)",
                    p.scm_count);
    }
    if (p.pmt_copies > kMaxPmtCopies || p.pmt_copies > p.scm_count) {
        return fail(Errc::invalid_argument,
                    "pmt_copies is {}: it must be 1 or 2, and not more than there are scm devices "
                    "({})",
                    p.pmt_copies, p.scm_count);
    }
    if (p.strip_bytes < 4 * kBlockBytes || p.strip_bytes > 4 * MiB ||
        !std::has_single_bit(p.strip_bytes)) {
        return fail(Errc::invalid_argument,
                    "strip is {}: it must be a power of two from 16 KiB to 4 MiB",
                    size_text(p.strip_bytes));
    }
    if (p.data_strips * p.strip_bytes < kMinSegmentBytes) {
        return fail(Errc::invalid_argument,
                    "a segment of {} strips of {} is too small: it must have at least {}, so make "
                    "the strip "
                    "larger",
                    p.data_strips, size_text(p.strip_bytes),
                    size_text(std::uint64_t{kMinSegmentBytes}));
    }
    QS_TRY(check_band(p));
    if (p.overprovision_ppm < 20000 || p.overprovision_ppm > 900000) {
        return fail(Errc::invalid_argument, "overprovision is {}: it must be from 0.02 to 0.9",
                    p.overprovision_ppm / 1e6);
    }
    if (p.max_shards < 1 || p.max_shards > kMaxShards) {
        return fail(Errc::invalid_argument, "shards is {}: it must be from 1 to {}", p.max_shards,
                    kMaxShards);
    }
    if (p.max_gc_threads < 1 || p.max_gc_threads > 16) {
        return fail(Errc::invalid_argument, "gc_threads is {}: it must be from 1 to 16",
                    p.max_gc_threads);
    }
    return {};
}

// Bands that volumes are never promised (rule 12): two streams with an open band and the next one
// each, a working band for each GC thread, another for each drive that may leave while the array is
// open (it ends the one that GC fills), and what recovery may need to commit a full TPS.
void set_reserve(ArrayLayout& l) {
    const std::uint64_t in_flight = std::uint64_t{kRamSegments} * l.p.max_shards +
                                    std::uint64_t{kGcTargets} * l.p.max_gc_threads;
    l.recovery_bands = static_cast<std::uint32_t>(div_up(in_flight, l.segments_per_band)) + 1;
    l.reserve_bands = 4 + l.gc_bands() + l.recovery_bands;
}

// As many as all drives but the spare ones have slots for. Eight drives with 100 slots each, one of
// them spare, and stripes of 6: 116 bands.
Status set_bands(ArrayLayout& l) {
    const std::uint64_t slots =
        std::uint64_t{l.p.qlc_count - l.p.spare_drives} * l.band_slots / l.width();
    if (slots > kMaxBands)
        return fail(Errc::unsupported, "an array of {} bands is too large: make them larger",
                    slots);
    l.bands = static_cast<std::uint32_t>(slots);
    return {};
}

Status set_space(ArrayLayout& l) {
    // Each open band may contain a band's worth of garbage, so the spare share must be larger than
    // that.
    const double share = l.p.overprovision_ppm / 1e6;
    const auto spare_needed = static_cast<std::uint64_t>(kMinSpareBands / share) + 1;
    const std::uint64_t bands_needed = l.reserve_bands + std::max<std::uint64_t>(spare_needed, 8);
    if (l.bands < bands_needed) {
        const std::uint64_t slots =
            div_up(bands_needed * l.width(), l.p.qlc_count - l.p.spare_drives);
        const std::uint64_t drive = (slots + kSuperblockUnits) * l.p.band_bytes;
        return fail(
            Errc::invalid_argument,
            "qlc devices of {} hold {} bands of {}, and {} are needed with overprovision {:.2f}: "
            "make each at least {} ({} bytes), or the band smaller",
            size_text(l.p.qlc_bytes), l.bands, size_text(l.p.band_bytes), bands_needed, share,
            at_least_text(drive), drive);
    }
    const std::uint64_t slots = std::uint64_t{l.bands - l.reserve_bands} * l.slots_per_band();
    const std::uint64_t kept_ppm = 1000000 - l.p.overprovision_ppm;
    l.writable_blocks = slots / 1000000 * kept_ppm + slots % 1000000 * kept_ppm / 1000000;
    l.writable_blocks = round_down(l.writable_blocks, kPageEntries);
    l.pmt_pages = l.writable_blocks / kPageEntries + kVolumePagesSlack;
    if (l.pmt_pages * kPageEntries > std::uint64_t{1} << kLbaBits) {
        return fail(Errc::unsupported,
                    "an array of {} writable blocks is too large: an LBA has {} bits",
                    l.writable_blocks, kLbaBits);
    }
    return {};
}

// So that drives can be added: bands and table have room for more.
Status set_max_bands(ArrayLayout& l) {
    l.slot_bits = static_cast<std::uint32_t>(std::bit_width(l.slots_per_segment - 1));
    if (l.p.max_bands == 0) {
        const std::uint64_t nameable =
            (std::uint64_t{1} << (kMaxPbaBits - 1)) / l.segments_per_band >> l.slot_bits;
        l.p.max_bands = static_cast<std::uint32_t>(std::max<std::uint64_t>(
            l.bands,
            std::min<std::uint64_t>({std::uint64_t{l.bands} * kBandsToGrow, nameable, kMaxBands})));
    }
    if (l.p.max_bands >= l.bands && l.p.max_bands <= kMaxBands) return {};
    return fail(Errc::unsupported, "an array of {} bands is too large: it was made for {}", l.bands,
                l.p.max_bands);
}

// The shortest regions that an array of these parameters can work with, one after the other.
ScmRegions plan_regions(const ArrayLayout& l) {
    ScmRegions r;
    std::uint64_t end = kSuperblockUnits * l.scm_superblock_unit_bytes;
    const auto place = [&end](Region& region, std::uint64_t bytes) {
        region = {end, bytes};
        end += bytes;
    };
    place(r.band_table, div_up(l.p.max_bands, l.bands_per_page()) * 2 * kBlockBytes);
    place(r.snapshots, 2 * l.snapshot_bytes);
    // With room for the pages of max_bands, none of them kept back.
    const std::uint64_t most_pages =
        std::uint64_t{l.p.max_bands} * l.slots_per_band() / kPageEntries + kVolumePagesSlack;
    place(r.bitmap, div_up(most_pages, kBitmapPageBits) * 2 * kBlockBytes);
    place(r.tps, ArrayLayout::min_tps_ring_bytes(l.segment_bytes) * l.p.max_shards);
    place(r.pmt, div_up(l.pmt_pages, l.p.scm_count) * l.p.pmt_copies * kBlockBytes);
    return r;
}

// For those that a superblock names: each is long enough and within the drive, and none overlaps
// another.
bool regions_fit(const ScmRegions& r, const ScmRegions& least, std::uint64_t scm_bytes) {
    std::vector<Region> sorted{r.band_table, r.snapshots, r.bitmap, r.tps, r.pmt};
    std::ranges::sort(sorted, {}, &Region::offset);
    std::uint64_t end = least.band_table.offset;
    for (const Region& region : sorted) {
        if (region.offset < end || region.offset > scm_bytes ||
            region.bytes > scm_bytes - region.offset || region.offset % kBlockBytes != 0 ||
            region.bytes % kBlockBytes != 0)
            return false;
        end = region.offset + region.bytes;
    }
    return r.band_table.bytes >= least.band_table.bytes &&
           r.snapshots.bytes >= least.snapshots.bytes && r.bitmap.bytes >= least.bitmap.bytes &&
           r.tps.bytes >= least.tps.bytes && r.pmt.bytes >= least.pmt.bytes;
}

Status set_scm_places(ArrayLayout& l) {
    l.scm_superblock_unit_bytes = l.superblock_record_bytes * kSuperblockSlots;
    l.band_table_pages = div_up(l.bands, l.bands_per_page());
    l.snapshot_bytes =
        round_up(kSnapshotFixedBytes + l.snapshot_bands() * kSnapshotBandBytes, kBlockBytes);
    const bool choose = l.p.pmt_copies == 0;
    if (choose) l.p.pmt_copies = l.p.scm_count > 1 ? kMaxPmtCopies : 1;
    ScmRegions least = plan_regions(l);
    if (choose && least.pmt.offset + least.pmt.bytes > l.p.scm_bytes) {
        l.p.pmt_copies = 1;
        least = plan_regions(l);
    }
    const std::uint64_t need = least.pmt.offset + least.pmt.bytes;
    if (l.p.scm_bytes < need) {
        return fail(
            Errc::invalid_argument,
            "scm devices of {} are too small for TPS and PMT of this array: make each at least {} "
            "({} bytes)",
            size_text(l.p.scm_bytes), at_least_text(need), need);
    }
    if (l.p.regions == ScmRegions{}) l.p.regions = least;
    if (!regions_fit(l.p.regions, least, l.p.scm_bytes))
        return fail(Errc::invalid_argument,
                    "the regions of its scm drives overlap, are too short or end after the drive");
    l.band_table_offset = l.p.regions.band_table.offset;
    l.snapshot_offset = l.p.regions.snapshots.offset;
    l.bitmap_offset = l.p.regions.bitmap.offset;
    l.bitmap_pages = div_up(l.pmt_pages, kBitmapPageBits);
    l.tps_offset = l.p.regions.tps.offset;
    l.tps_bytes = l.p.regions.tps.bytes;
    l.pmt_offset = l.p.regions.pmt.offset;
    return {};
}

// The slots of all bands that there may be, and then a number for each block of the TPS.
Status set_pba(ArrayLayout& l) {
    const std::uint64_t slots = std::uint64_t{l.p.max_bands} * l.segments_per_band << l.slot_bits;
    l.pba_bits = static_cast<std::uint32_t>(std::bit_width(slots + l.tps_bytes / kBlockBytes));
    if (l.pba_bits > kMaxPbaBits)
        return fail(Errc::unsupported, "an array of 2^{} blocks is too large", l.pba_bits);
    l.crc_bits = std::min<std::uint32_t>(62 - l.pba_bits, 32);
    return {};
}

}  // namespace

// A record is at most a header block for each block of payload, and kRamSegments segments are
// journaled at once; the same again lets records be written while older ones wait for a commit.
std::uint64_t ArrayLayout::min_tps_ring_bytes(std::uint64_t segment_bytes) {
    return 4 * kRamSegments * round_up(segment_bytes, 128 * KiB);
}

Result<ArrayLayout> make_layout(const ArrayParameters& parameters) {
    QS_TRY(check_shape(parameters));
    ArrayLayout l;
    l.p = parameters;
    l.segment_bytes = l.p.data_strips * l.p.strip_bytes;
    l.blocks_per_segment = static_cast<std::uint32_t>(l.segment_bytes / kBlockBytes);
    l.header_blocks = header_blocks_for(l.blocks_per_segment);
    if (l.header_bytes() > l.p.strip_bytes) {
        return fail(Errc::invalid_argument,
                    "the header of a segment of {} blocks doesn't fit in a strip",
                    l.blocks_per_segment);
    }
    l.slots_per_segment = l.blocks_per_segment - l.header_blocks;
    l.segments_per_band = static_cast<std::uint32_t>(l.p.band_bytes / l.p.strip_bytes);
    l.superblock_record_bytes = round_up(kSuperblockRecordMin, l.p.strip_bytes);
    l.qlc_superblock_unit_bytes = l.p.band_bytes;
    const std::uint64_t units = l.p.qlc_bytes / l.p.band_bytes;
    l.band_slots =
        static_cast<std::uint32_t>(units > kSuperblockUnits ? units - kSuperblockUnits : 0);
    QS_TRY(set_bands(l));
    set_reserve(l);
    QS_TRY(set_space(l));
    QS_TRY(set_max_bands(l));
    QS_TRY(set_scm_places(l));
    QS_TRY(set_pba(l));
    return l;
}

}  // namespace qlcshape
