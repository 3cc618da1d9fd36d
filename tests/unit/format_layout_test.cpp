// SPDX-License-Identifier: Apache-2.0
// Where everything lies, for many shapes of array: no overlaps, everything inside its drive, and
// sizes that can't work refused with one that does.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/random.h"
#include "format/layout.h"
#include "format/superblock.h"

using namespace qlcshape;

namespace {

// Generous drives for 100 bands, so that every shape fits.
ArrayParameters shape(std::uint32_t k, std::uint64_t strip, std::uint64_t strips_per_band,
                      std::uint32_t scm_count) {
    ArrayParameters p;
    p.data_strips = k;
    p.qlc_count = k + 2;
    p.scm_count = scm_count;
    p.strip_bytes = strip;
    p.band_bytes = strips_per_band * strip;
    p.qlc_bytes = 100 * p.band_bytes + 12345 * kBlockBytes;
    p.scm_bytes = 8 * GiB;
    return p;
}

std::vector<ArrayParameters> shapes() {
    std::vector<ArrayParameters> all;
    for (const std::uint32_t k : {2u, 3u, 8u, 16u, 32u}) {
        for (const std::uint64_t strip : {64 * KiB, 128 * KiB}) {
            for (const std::uint64_t strips : {4, 8, 37, 1024}) {
                for (const std::uint32_t scm : {1u, 2u, 3u, 8u}) {
                    all.push_back(shape(k, strip, strips, scm));
                    all.back().max_shards = 1 + scm;
                    all.back().overprovision_ppm = 70000 * scm;
                }
            }
        }
    }
    all.push_back(shape(8, 16 * KiB, 8, 2));
    all.push_back(shape(32, 4 * MiB, 4, 2));
    return all;
}

struct Tested {
    ArrayParameters p;
    ArrayLayout l;
};

std::vector<Tested> layouts() {
    std::vector<Tested> all;
    for (const ArrayParameters& p : shapes()) {
        auto l = make_layout(p);
        INFO("k " << p.data_strips << " strip " << p.strip_bytes << " band " << p.band_bytes
                  << " scm " << p.scm_count);
        if (!l) FAIL(l.error().message);
        all.push_back({p, *l});
    }
    return all;
}

// The size that a refusal asks for.
std::uint64_t wanted_bytes(const Error& error) {
    const std::string before = "(";  // "at least 18 MiB (18350080 bytes)"
    const std::size_t at = error.message.find(before, error.message.find("at least "));
    return at == std::string::npos
               ? 0
               : std::strtoull(error.message.c_str() + at + before.size(), nullptr, 10);
}

Errc refusal(const ArrayParameters& p) {
    const auto l = make_layout(p);
    REQUIRE_FALSE(l);
    return l.error().code;
}

}  // namespace

TEST_CASE("layout: a segment is its header and its slots") {
    for (const auto& [p, l] : layouts()) {
        CHECK(l.segment_bytes == p.data_strips * p.strip_bytes);
        CHECK(l.blocks_per_segment * std::uint64_t{kBlockBytes} == l.segment_bytes);
        CHECK(l.slots_per_segment + l.header_blocks == l.blocks_per_segment);
        CHECK(l.segments_per_band == p.band_bytes / p.strip_bytes);
        CHECK(l.slots_per_band() == l.slots_per_segment * l.segments_per_band);
        // The header holds an entry for each slot, is no longer than needed, and fits in a strip.
        const std::uint64_t needed =
            kSegmentFixedBytes + std::uint64_t{kEntryBytes} * l.slots_per_segment;
        CHECK(needed <= l.header_blocks * std::uint64_t{kBlockBytes});
        if (l.header_blocks > 1) {
            CHECK(needed + kEntryBytes > (l.header_blocks - 1) * std::uint64_t{kBlockBytes});
        }
        CHECK(l.header_blocks * std::uint64_t{kBlockBytes} <= p.strip_bytes);
        CHECK(l.slots_per_segment <= UINT16_MAX);
    }
}

TEST_CASE("layout: at 8+2 with 128 KiB strips one block describes 255") {
    const auto l = make_layout(shape(8, 128 * KiB, 1024, 2));
    REQUIRE(l);
    CHECK(l->segment_bytes == MiB);
    CHECK(l->header_blocks == 1);
    CHECK(l->slots_per_segment == 255);
}

TEST_CASE("layout: regions of a qlc drive follow each other inside it") {
    for (const auto& [p, l] : layouts()) {
        // Drives are guarded in units of a band, so the superblock units are as long.
        CHECK(l.qlc_superblock_unit_bytes == p.band_bytes);
        CHECK(l.superblock_record_bytes >= kSuperblockRecordMin);
        CHECK(l.superblock_record_bytes % p.strip_bytes == 0);
        CHECK(l.superblock_record_bytes <= l.qlc_superblock_unit_bytes);
        CHECK(l.slot_offset(kSuperblockUnits) == 2 * l.qlc_superblock_unit_bytes);
        CHECK(l.drive_slots() == kSuperblockUnits + l.bands);
        for (std::uint32_t slot = 0; slot < l.drive_slots(); ++slot) {
            REQUIRE(l.slot_offset(slot) % p.band_bytes == 0);
            REQUIRE(l.slot_offset(slot + 1) == l.slot_offset(slot) + p.band_bytes);
        }
        CHECK(l.segments_per_band * p.strip_bytes <= p.band_bytes);
        const std::uint64_t end = l.slot_offset(l.drive_slots());
        CHECK(end <= p.qlc_bytes);
        CHECK(end + p.band_bytes > p.qlc_bytes);
    }
}

TEST_CASE("layout: regions of an scm drive follow each other inside it") {
    for (const auto& [p, l] : layouts()) {
        CHECK(l.scm_superblock_unit_bytes >= kSuperblockSlots * l.superblock_record_bytes);
        CHECK(l.band_table_offset >= 2 * l.scm_superblock_unit_bytes);
        CHECK(l.band_table_pages * l.bands_per_page() >= l.bands);
        CHECK(l.band_page_offset(0, 0) == l.band_table_offset);
        CHECK(l.snapshot_offset >= l.band_page_offset(l.band_table_pages - 1, 1) + kBlockBytes);
        CHECK(l.bitmap_offset >= l.snapshot_offset + 2 * l.snapshot_bytes);
        CHECK(l.bitmap_pages * kBitmapPageBits >= l.pmt_pages);
        CHECK(l.tps_offset >= l.bitmap_page_offset(l.bitmap_pages - 1, 1) + kBlockBytes);
        CHECK(l.pmt_offset >= l.tps_offset + l.tps_bytes);
        for (std::uint32_t shards = 1; shards <= p.max_shards; ++shards) {
            const std::uint64_t ring = l.tps_ring_bytes(shards);
            REQUIRE(ring % kBlockBytes == 0);
            REQUIRE(ring >= ArrayLayout::min_tps_ring_bytes(l.segment_bytes));
            REQUIRE(l.tps_ring_offset(shards, 0) == l.tps_offset);
            for (std::uint32_t shard = 0; shard < shards; ++shard) {
                const std::uint64_t next = l.tps_ring_offset(shards, shard) + ring;
                REQUIRE(next == l.tps_ring_offset(shards, shard + 1));
            }
            REQUIRE(l.tps_ring_offset(shards, shards) <= l.pmt_offset);
        }
        for (const std::uint64_t offset : {l.band_table_offset, l.tps_offset, l.pmt_offset}) {
            REQUIRE(offset % kBlockBytes == 0);
        }
    }
}

TEST_CASE("layout: each page of the table has a place of its own") {
    for (const auto& [p, l] : layouts()) {
        std::vector<std::uint64_t> next(p.scm_count, l.pmt_offset);
        bool packed = true;
        for (std::uint64_t i = 0; i < l.pmt_pages; ++i) {
            const std::uint32_t drive = l.pmt_drive(PageId(i));
            packed &= drive < p.scm_count && l.pmt_page_offset(PageId(i)) == next[drive];
            next[drive] += kBlockBytes;
        }
        CHECK(packed);
        for (const std::uint64_t end : next) CHECK(end <= p.scm_bytes);
        // Every volume may round up to a whole page.
        CHECK(l.pmt_pages >= l.writable_blocks / kPageEntries + kMaxVolumes - 1);
    }
}

TEST_CASE("layout: a pba names one slot of one segment of one band") {
    Random random(1);
    for (const auto& [p, l] : layouts()) {
        for (int i = 0; i < 200; ++i) {
            // The corners first.
            auto draw = [&](std::uint32_t bound, int low_bit) {
                if (i < 8) return (i >> low_bit & 1) != 0 ? bound - 1 : 0;
                return static_cast<std::uint32_t>(random.below(bound));
            };
            const BandId band(draw(l.bands, 0));
            const std::uint32_t segment = draw(l.segments_per_band, 1);
            const std::uint32_t slot = draw(l.slots_per_segment, 2);
            const Pba pba = l.pba(band, segment, slot);
            REQUIRE(l.band_of(pba) == band);
            REQUIRE(l.segment_of(pba) == segment);
            REQUIRE(l.slot_of(pba) == slot);
            REQUIRE(pba.value >> l.pba_bits == 0);
            REQUIRE(l.stripe_number(band, segment) < std::uint64_t{l.bands} * l.segments_per_band);
        }
        CHECK(l.pba_bits + l.crc_bits <= 62);
        CHECK(l.crc_bits >= 16);
        CHECK(l.crc_bits <= 32);
    }
}

TEST_CASE("layout: writable is what the reserve and overprovision leave") {
    for (const auto& [p, l] : layouts()) {
        const std::uint64_t outside = std::uint64_t{l.bands - l.reserve_bands} *
                                      l.segments_per_band *
                                      (l.segment_bytes / kBlockBytes - l.header_blocks);
        const std::uint64_t share = outside * (1000000 - p.overprovision_ppm) / 1000000;
        CHECK(l.writable_blocks == share / kPageEntries * kPageEntries);
        CHECK(l.reserve_bands > l.recovery_bands);
        // Two streams with an open band and the next one, a band for each GC thread.
        CHECK(l.reserve_bands >= l.recovery_bands + 4 + p.max_gc_threads + 2);
        // Everything that may be in RAM at once finds room in what is kept for recovery.
        const std::uint64_t in_ram = std::uint64_t{kRamSegments} * p.max_shards +
                                     std::uint64_t{kGcTargets} * p.max_gc_threads;
        CHECK(std::uint64_t{l.recovery_bands} * l.segments_per_band >= in_ram);
    }
}

TEST_CASE("layout: qlc drives that are too small are refused with a size that works") {
    for (ArrayParameters p : shapes()) {
        p.qlc_bytes = 3 * p.band_bytes;
        const auto refused = make_layout(p);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Errc::invalid_argument);
        const std::uint64_t wanted = wanted_bytes(refused.error());
        INFO(refused.error().message);
        p.qlc_bytes = wanted;
        REQUIRE(make_layout(p));
        p.qlc_bytes = wanted - 1;
        REQUIRE_FALSE(make_layout(p));
        p.qlc_bytes = 0;
        REQUIRE(wanted_bytes(make_layout(p).error()) == wanted);
    }
}

TEST_CASE("layout: scm drives that are too small are refused with a size that works") {
    for (ArrayParameters p : shapes()) {
        p.scm_bytes = 64 * KiB;
        const auto refused = make_layout(p);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Errc::invalid_argument);
        p.scm_bytes = wanted_bytes(refused.error());
        INFO(refused.error().message);
        REQUIRE(make_layout(p));
        --p.scm_bytes;
        REQUIRE_FALSE(make_layout(p));
    }
}

TEST_CASE("layout: bad shapes are refused") {
    const ArrayParameters good = shape(8, 128 * KiB, 8, 2);
    REQUIRE(make_layout(good));
    using Spoil = void (*)(ArrayParameters&);
    const std::vector<std::pair<const char*, Spoil>> bad = {
        {"no data strip", [](ArrayParameters& p) { p.data_strips = 0, p.qlc_count = 2; }},
        {"one data strip", [](ArrayParameters& p) { p.data_strips = 1, p.qlc_count = 3; }},
        {"33 data strips", [](ArrayParameters& p) { p.data_strips = 33, p.qlc_count = 35; }},
        {"a qlc drive less", [](ArrayParameters& p) { --p.qlc_count; }},
        {"121 qlc drives", [](ArrayParameters& p) { p.qlc_count = 121; }},
        {"a spare drive too many", [](ArrayParameters& p) { ++p.qlc_count, p.spare_drives = 2; }},
        {"no scm drive", [](ArrayParameters& p) { p.scm_count = 0; }},
        {"9 scm drives", [](ArrayParameters& p) { p.scm_count = 9; }},
        {"no strip", [](ArrayParameters& p) { p.strip_bytes = 0; }},
        {"a strip of 8 KiB", [](ArrayParameters& p) { p.strip_bytes = 8 * KiB; }},
        {"a strip of 8 MiB", [](ArrayParameters& p) { p.strip_bytes = 8 * MiB; }},
        {"a strip of 96 KiB", [](ArrayParameters& p) { p.strip_bytes = 96 * KiB; }},
        {"a segment of 64 KiB",
         [](ArrayParameters& p) { p.data_strips = 2, p.qlc_count = 4, p.strip_bytes = 32 * KiB; }},
        {"no band", [](ArrayParameters& p) { p.band_bytes = 0; }},
        {"a band of 3 strips", [](ArrayParameters& p) { p.band_bytes = 3 * 128 * KiB; }},
        {"a band shorter than a superblock",
         [](ArrayParameters& p) { p.strip_bytes = 16 * KiB, p.band_bytes = 64 * KiB; }},
        {"a band of 8 strips and a half",
         [](ArrayParameters& p) { p.band_bytes = 8 * 128 * KiB + 64 * KiB; }},
        {"overprovision of 1 percent", [](ArrayParameters& p) { p.overprovision_ppm = 10000; }},
        {"overprovision of 95 percent", [](ArrayParameters& p) { p.overprovision_ppm = 950000; }},
        {"no shard", [](ArrayParameters& p) { p.max_shards = 0; }},
        {"65 shards", [](ArrayParameters& p) { p.max_shards = 65; }},
        {"no gc thread", [](ArrayParameters& p) { p.max_gc_threads = 0; }},
        {"17 gc threads", [](ArrayParameters& p) { p.max_gc_threads = 17; }},
    };
    for (const auto& [what, spoil] : bad) {
        INFO(what);
        ArrayParameters p = good;
        spoil(p);
        CHECK(refusal(p) == Errc::invalid_argument);
    }
}

// From a superblock of right checksum; computing with them would wrap, or divide by zero.
TEST_CASE("layout: sizes beyond all drives are refused") {
    const ArrayParameters good = shape(8, 128 * KiB, 8, 2);
    const std::uint64_t most = UINT64_MAX / (128 * KiB) * (128 * KiB);
    const std::uint64_t sizes[] = {most, std::uint64_t{1} << 63,
                                   (std::uint64_t{1} << 32) * 128 * KiB,
                                   (std::uint64_t{1} << 31) * 128 * KiB};
    for (const std::uint64_t band : sizes) {
        for (const std::uint64_t drive : {good.qlc_bytes, most, 20 * band}) {
            INFO(band << " " << drive);
            ArrayParameters p = good;
            p.band_bytes = band;
            p.qlc_bytes = drive;
            p.scm_bytes = most;
            CHECK_FALSE(make_layout(p));
        }
    }
    for (const std::uint64_t drive : sizes) {
        ArrayParameters p = good;
        p.qlc_bytes = drive;
        p.scm_bytes = most;
        CHECK_FALSE(make_layout(p));
    }
}

TEST_CASE("layout: an array of 32 large drives has more slots than a PBA of today can tell") {
    ArrayParameters p = shape(32, 128 * KiB, 1024, 8);
    p.qlc_bytes = 16384 * TiB;
    p.scm_bytes = 1024 * TiB;
    CHECK(refusal(p) == Errc::unsupported);
}
