// SPDX-License-Identifier: Apache-2.0
// Structures under right checksums whose contents an array can't have: a strange or faulty program
// wrote them. Used as they are they would lead outside of tables and drives.
#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "format/band_page.h"
#include "format/pmt_page.h"
#include "format/segment_header.h"
#include "format/tombstone.h"
#include "format/tps_record.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

ArrayLayout strict_layout() { return small_layout({.strips_per_band = 16, .bands = 98}); }

}  // namespace

TEST_CASE("segment header: entries that the array can't have are refused") {
    const ArrayLayout l = strict_layout();
    const Lba last(l.pmt_pages * kPageEntries - 1), behind(l.pmt_pages * kPageEntries);
    auto accepted = [&](const Entry& e, const std::function<void(SegmentHeaderFixed&)>& change) {
        const Buffer memory(l.header_blocks * kBlockBytes);
        SegmentHeader header(l, memory.data());
        header.fixed().max_version = 10;
        change(header.fixed());
        header.set_entry(3, e);
        header.seal();
        return header.valid(Uuid{}, BandId(0), 0);
    };
    auto same = [](SegmentHeaderFixed&) {};
    CHECK(accepted({EntryKind::data, last, Version(10), 0}, same));
    CHECK_FALSE(accepted({EntryKind::data, behind, Version(10), 0}, same));
    CHECK_FALSE(accepted({EntryKind::poisoned, behind, Version(10), 0}, same));
    CHECK_FALSE(accepted({EntryKind::data, last, Version(11), 0}, same));
    CHECK(accepted({}, [&](auto& f) { f.frontier = l.segments_per_band; }));
    CHECK_FALSE(accepted({}, [&](auto& f) { f.frontier = l.segments_per_band + 1; }));
    CHECK_FALSE(accepted({}, [](auto& f) { f.max_version = std::uint64_t{1} << 48; }));
}

TEST_CASE("tps record: entries that the array can't have are refused") {
    const ArrayLayout l = strict_layout();
    const Lba last(l.pmt_pages * kPageEntries - 1), behind(l.pmt_pages * kPageEntries);
    const Buffer memory(4 * kBlockBytes);
    auto fits = [&](const Entry& e, std::uint32_t payload) {
        TpsRecord record(memory.span());
        record.fixed().entries = 1;
        record.fixed().payload_blocks = payload;
        record.set_entry(0, e);
        record.seal();
        REQUIRE(record.valid(Uuid{}, 0, 0, 0, 0));
        return record.fits(l);
    };
    CHECK(fits({EntryKind::data, last, Version(1), 0}, 1));
    CHECK_FALSE(fits({EntryKind::data, behind, Version(1), 0}, 1));
    CHECK_FALSE(fits({EntryKind::empty, last, Version(1), 0}, 1));
    CHECK_FALSE(fits({EntryKind::poisoned, last, Version(1), 0}, 1));
    // A tombstone's length stands in place of the checksum.
    CHECK(fits({EntryKind::tombstones, Lba(0), Version(1), kPageEntries}, 0));
    CHECK_FALSE(fits({EntryKind::tombstones, Lba(0), Version(1), kPageEntries + 1}, 0));
    CHECK_FALSE(fits({EntryKind::tombstones, Lba(1), Version(1), kPageEntries}, 0));
    CHECK_FALSE(fits({EntryKind::tombstones, Lba(0), Version(1), 0}, 0));
}

TEST_CASE("tps record: more than lies here, or than a record has, does not fit") {
    const ArrayLayout l = strict_layout();
    const Buffer memory(4 * kBlockBytes);
    TpsRecord record(memory.span());
    auto fits = [&](std::uint32_t entries, std::uint32_t payload) {
        record.fixed().entries = entries;
        record.fixed().payload_blocks = payload;
        for (std::uint32_t i = 0; i < entries; ++i)
            record.set_entry(i, {EntryKind::data, Lba(i), Version(1), 0});
        record.seal();
        REQUIRE(record.valid(Uuid{}, 0, 0, 0, 0));
        return record.fits(l);
    };
    CHECK(fits(3, 3));
    CHECK_FALSE(fits(4, 4));
    const auto most = static_cast<std::uint32_t>(tps_max_entries(l));
    CHECK(fits(most, 0));
    CHECK_FALSE(fits(most + 1, 0));
}

TEST_CASE("tps record: its payload is whole where each block is as its entry says") {
    const Buffer memory(3 * kBlockBytes);
    TpsRecord record(memory.span());
    memory.data()[kBlockBytes] = memory.data()[2 * kBlockBytes + 7] = std::byte{9};
    auto crc = [&](std::uint32_t block) {
        return crc32c(memory.span().subspan(block * kBlockBytes, kBlockBytes));
    };
    record.fixed().entries = 3;
    record.fixed().payload_blocks = 2;
    record.set_entry(0, {EntryKind::data, Lba(0), Version(1), crc(1)});
    record.set_entry(1, {EntryKind::data, Lba(1), Version(1), crc(2)});
    record.set_entry(2, {EntryKind::tombstones, Lba(2), Version(1), 4});
    CHECK(record.payload_whole());
    record.fixed().payload_blocks = 1;
    CHECK_FALSE(record.payload_whole());
    record.fixed().payload_blocks = 2;
    memory.data()[3 * kBlockBytes - 1] ^= std::byte{1};
    CHECK_FALSE(record.payload_whole());
}

TEST_CASE("band page: records that the array can't have are refused") {
    const ArrayLayout l = strict_layout();
    const std::uint32_t last = l.width() - 1;
    const auto column = [](std::uint32_t member, std::uint32_t slot) {
        return Column{static_cast<std::uint8_t>(member), slot};
    };
    using Change = std::function<void(BandRecord&, BandPage&)>;
    auto fits = [&](BandState state, const Change& change) {
        const Buffer block(kBlockBytes);
        BandPage page(l, block.data());
        BandRecord& r = page.record(5);
        r.state = state;
        r.data_columns = static_cast<std::uint8_t>(l.p.data_strips);
        r.rotation = static_cast<std::uint8_t>(l.width());
        for (std::uint32_t c = 0; c <= last; ++c) page.set_column(5, c, column(c, 7));
        change(r, page);
        page.seal(Uuid{}, 0, 1);
        REQUIRE(page.valid(Uuid{}, 0));
        return page.fits();
    };
    for (const BandState state : {BandState::open, BandState::closed, BandState::erasing}) {
        CHECK(fits(state, [&](BandRecord& r, BandPage&) { r.segments = l.segments_per_band; }));
        CHECK(fits(state, [](BandRecord& r, BandPage&) { r.valid = r.tombstones = UINT32_MAX; }));
        CHECK(fits(state, [](BandRecord& r, BandPage&) { r.flags = 1; }));
        CHECK(fits(state, [&](BandRecord&, BandPage& p) {
            p.set_column(5, 0, {});
            p.set_column(5, last, {});
        }));
        CHECK(fits(state, [&](BandRecord&, BandPage& p) {
            p.set_column(5, 0, column(1, 2));
            p.set_column(5, 1, column(0, l.drive_slots() - 1));
        }));
        const Change impossible[] = {
            [&](BandRecord& r, BandPage&) { r.segments = l.segments_per_band + 1; },
            [](BandRecord& r, BandPage&) { r.stream = 2; },
            [](BandRecord& r, BandPage&) { r.flags = 2; },
            [](BandRecord& r, BandPage&) { --r.data_columns; },
            [](BandRecord& r, BandPage&) { ++r.rotation; },
            [](BandRecord& r, BandPage&) { r.rotation = r.data_columns - 1; },
            [](BandRecord& r, BandPage&) { r.index_segments = 1; },
            [](BandRecord& r, BandPage&) { r.mean_written = 1; },
            [&](BandRecord&, BandPage& p) {
                for (const std::uint32_t c : {0u, 1u, last}) p.set_column(5, c, {});
            },
            [&](BandRecord&, BandPage& p) { p.set_column(5, 0, column(1, 7)); },
            [&](BandRecord&, BandPage& p) { p.set_column(5, 0, column(l.p.qlc_count, 7)); },
            [&](BandRecord&, BandPage& p) { p.set_column(5, 0, column(0, 1)); },
            [&](BandRecord&, BandPage& p) { p.set_column(5, 0, column(0, l.drive_slots())); },
        };
        for (const Change& change : impossible) CHECK_FALSE(fits(state, change));
    }
    // What a free band's record says of columns is of its last life.
    CHECK(fits(BandState::free, [&](BandRecord& r, BandPage& p) {
        r.rotation = 0;
        p.set_column(5, 0, column(1, 0));
    }));
}

TEST_CASE("pmt page: entries that lead nowhere are refused") {
    const ArrayLayout l = strict_layout();
    auto fits = [&](PmtEntry entry) {
        std::vector<PmtEntry> entries(kPageEntries);
        entries[9] = entry;
        return pmt_entries_fit(entries.data(), l);
    };
    auto mapped = [&](std::uint64_t pba) { return PmtEntry::make_mapped(l, Pba(pba), 0xffffffff); };
    const std::uint64_t last =
        l.pba(BandId(l.bands - 1), l.segments_per_band - 1, l.slots_per_segment - 1).value;
    CHECK(fits(mapped(last)));
    CHECK(fits(mapped(l.slots_per_segment - 1)));
    CHECK_FALSE(fits(mapped(l.slots_per_segment)));                       // no such slot
    CHECK_FALSE(fits(mapped(l.pba(BandId(l.bands), 0, 0).value)));        // no such band
    CHECK_FALSE(fits(mapped(l.pba(BandId(l.p.max_bands), 0, 0).value)));  // of the TPS
    CHECK(fits(PmtEntry::make_unmapped(Unmapped::poisoned, Version(7))));
    CHECK_FALSE(fits({std::uint64_t{3} << 60}));
    CHECK_FALSE(fits({std::uint64_t{1} << kVersionBits}));
}

TEST_CASE("tombstones: extents that can't be make the block none") {
    auto count = [](const Tombstone& t) {
        const Buffer block(kBlockBytes);
        store_tombstone(block.data(), 0, {Lba(1), 1, Version(1)});
        store_tombstone(block.data(), 1, t);
        return tombstone_count(block.data());
    };
    CHECK(count({Lba(512), 512, Version(1)}) == 2);
    CHECK(count({Lba(513), 512, Version(1)}) == 0);
    CHECK(count({Lba(1023), 2, Version(1)}) == 0);
    CHECK(count({Lba(0), 1, Version(std::uint64_t{1} << kVersionBits)}) == 0);
}
