// SPDX-License-Identifier: Apache-2.0
// Entries, tombstones, table pages, headers, records: what is stored is loaded, and whatever
// changed on media in between is seen.
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "format/band_page.h"
#include "format/pmt_page.h"
#include "format/segment_header.h"
#include "format/snapshot_record.h"
#include "format/tombstone.h"
#include "format/tps_record.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kMaxLba = (std::uint64_t{1} << kLbaBits) - 1;
constexpr std::uint64_t kMaxVersion = (std::uint64_t{1} << kVersionBits) - 1;

ArrayLayout layout_of(std::uint32_t k, std::uint64_t strip_bytes) {
    return small_layout({.k = k, .strip_bytes = strip_bytes, .bands = 98, .scm_bytes = 8 * GiB});
}

Uuid uuid(std::uint64_t seed) {
    Random random(seed);
    return Uuid::random(random);
}

Entry random_entry(Random& random) {
    return {static_cast<EntryKind>(random.below(4)), Lba(random.below(kMaxLba + 1)),
            Version(random.below(kMaxVersion + 1)), static_cast<std::uint32_t>(random.next())};
}

bool same(const Entry& a, const Entry& b) {
    return a.kind == b.kind && a.lba == b.lba && a.version == b.version && a.crc == b.crc;
}

// Flips one bit in each byte, a different one each time, and says how many flips `good` missed.
template <class Good>
unsigned unseen_flips(std::span<std::byte> bytes, const Good& good) {
    unsigned unseen = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto bit = static_cast<std::byte>(1u << i % 8);
        bytes[i] ^= bit;
        if (good()) ++unseen;
        bytes[i] ^= bit;
    }
    return unseen;
}

}  // namespace

TEST_CASE("entry: stored and loaded side by side") {
    Random random(1);
    std::vector<Entry> entries = {{},
                                  {EntryKind::poisoned, Lba(kMaxLba), Version(kMaxVersion), ~0u},
                                  {EntryKind::data, Lba(0), Version(0), 0},
                                  {EntryKind::empty, Lba(kMaxLba), Version(0), ~0u},
                                  {EntryKind::tombstones, Lba(0), Version(kMaxVersion), 0}};
    for (int i = 0; i < 200; ++i) entries.push_back(random_entry(random));
    std::vector<std::byte> bytes(entries.size() * kEntryBytes + 1, std::byte{0xee});
    // Backwards, so that one that writes too far spoils its neighbour.
    for (std::size_t i = entries.size(); i-- > 0;) {
        store_entry(bytes.data() + i * kEntryBytes, entries[i]);
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
        REQUIRE(same(load_entry(bytes.data() + i * kEntryBytes), entries[i]));
    }
    CHECK(bytes.back() == std::byte{0xee});
}

TEST_CASE("entry: bit for bit as documented") {
    std::byte bytes[kEntryBytes];
    store_entry(bytes,
                {EntryKind::tombstones, Lba(0x123456789a), Version(0x665544332211), 0xddccbbaa});
    const std::uint8_t wanted[kEntryBytes] = {0x9a, 0x78, 0x56, 0x34, 0x92, 0x11, 0x22, 0x33,
                                              0x44, 0x55, 0x66, 0xaa, 0xbb, 0xcc, 0xdd};
    for (std::size_t i = 0; i < kEntryBytes; ++i) {
        INFO("byte " << i);
        CHECK(static_cast<unsigned>(bytes[i]) == wanted[i]);
    }
}

TEST_CASE("tombstones: a full block of them") {
    Random random(2);
    const Buffer block(kBlockBytes);
    CHECK(tombstone_count(block.data()) == 0);
    std::vector<Tombstone> stones;
    for (std::uint32_t i = 0; i < kTombstonesPerBlock; ++i) {
        stones.push_back(
            {Lba(random.below(kMaxLba + 1)), 1, Version(random.below(kMaxVersion + 1))});
        // To the end of its page, at the most.
        const std::uint64_t most = kPageEntries - stones.back().lba.value % kPageEntries;
        stones.back().blocks += static_cast<std::uint32_t>(random.below(most));
    }
    stones[0] = {Lba(kMaxLba - kPageEntries + 1), kPageEntries, Version(kMaxVersion)};
    stones[1] = {Lba(0), 1, Version(0)};
    for (std::uint32_t i = 0; i < stones.size(); ++i) {
        store_tombstone(block.data(), i, stones[i]);
        REQUIRE(tombstone_count(block.data()) == i + 1);
    }
    for (std::uint32_t i = 0; i < stones.size(); ++i) {
        const Tombstone t = load_tombstone(block.data(), i);
        REQUIRE(t.lba == stones[i].lba);
        REQUIRE(t.blocks == stones[i].blocks);
        REQUIRE(t.version == stones[i].version);
    }
    store<std::uint32_t>(block.data() + 8, kTombstonesPerBlock + 1);
    CHECK(tombstone_count(block.data()) == 0);
    store<std::uint32_t>(block.data() + 8, kTombstonesPerBlock);
    block.data()[3] ^= std::byte{1};
    CHECK(tombstone_count(block.data()) == 0);
}

TEST_CASE("pmt entry: mapped with part of the checksum") {
    const ArrayLayout l = GENERATE(layout_of(2, 64 * KiB), layout_of(32, 128 * KiB));
    const Pba last = l.pba(BandId(l.bands - 1), l.segments_per_band - 1, l.slots_per_segment - 1);
    for (const Pba pba : {l.pba(BandId(0), 0, 0), last}) {
        for (const std::uint32_t crc : {0u, ~0u, 0xdeadbeefu}) {
            const PmtEntry e = PmtEntry::make_mapped(l, pba, crc);
            CHECK(e.mapped());
            CHECK((e.bits & PmtEntry::kTrailer) == 0);
            CHECK(e.pba(l) == pba);
            CHECK(e.crc_matches(l, crc));
            for (std::uint32_t bit = 0; bit < l.crc_bits; ++bit) {
                REQUIRE_FALSE(e.crc_matches(l, crc ^ 1u << bit));
            }
        }
    }
}

TEST_CASE("pmt entry: unmapped with reason and version") {
    for (const Unmapped why : {Unmapped::never_written, Unmapped::trimmed, Unmapped::poisoned}) {
        for (const std::uint64_t version : {std::uint64_t{0}, std::uint64_t{77}, kMaxVersion}) {
            const PmtEntry e = PmtEntry::make_unmapped(why, Version(version));
            CHECK_FALSE(e.mapped());
            CHECK((e.bits & PmtEntry::kTrailer) == 0);
            CHECK(e.reason() == why);
            CHECK(e.version() == Version(version));
        }
    }
    CHECK(PmtEntry{} == PmtEntry::make_unmapped(Unmapped::never_written, Version(0)));
}

TEST_CASE("pmt page: comes back, and any flipped bit is seen") {
    Random random(3);
    std::vector<PmtEntry> entries(kPageEntries);
    for (PmtEntry& e : entries) e.bits = random.next() & ~PmtEntry::kTrailer;
    const Buffer block(kBlockBytes);
    const PageId page(123456789);
    encode_pmt_page(entries.data(), page, uuid(1), 7, block.data());
    std::vector<PmtEntry> out(kPageEntries);
    REQUIRE(decode_pmt_page(block.data(), page, uuid(1), out.data()));
    CHECK(out == entries);

    CHECK_FALSE(decode_pmt_page(block.data(), PageId(123456788), uuid(1), out.data()));
    CHECK_FALSE(decode_pmt_page(block.data(), page, uuid(2), out.data()));
    unsigned unseen = 0;
    for (std::size_t bit = 0; bit < kBlockBytes * 8; ++bit) {
        block.data()[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        if (decode_pmt_page(block.data(), page, uuid(1), out.data())) ++unseen;
        block.data()[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    }
    CHECK(unseen == 0);
    CHECK_FALSE(decode_pmt_page(Buffer(kBlockBytes).data(), PageId(0), Uuid{}, out.data()));
}

TEST_CASE("pmt page: torn between two writings it is as good as the older one") {
    Random random(5);
    std::vector<PmtEntry> before(kPageEntries), after(kPageEntries), out(kPageEntries);
    for (PmtEntry& e : before) e.bits = random.next() & ~PmtEntry::kTrailer;
    for (PmtEntry& e : after) e.bits = random.next() & ~PmtEntry::kTrailer;
    const Buffer old_block(kBlockBytes), new_block(kBlockBytes), block(kBlockBytes);
    // The generation wraps in between.
    encode_pmt_page(before.data(), PageId(5), uuid(1), UINT32_MAX, old_block.data());
    encode_pmt_page(after.data(), PageId(5), uuid(1), 0, new_block.data());
    for (std::uint32_t torn = 0; torn < 256; ++torn) {
        for (std::uint32_t sector = 0; sector < 8; ++sector) {
            const auto& from = (torn >> sector & 1) != 0 ? new_block : old_block;
            std::memcpy(block.data() + sector * kSectorBytes, from.data() + sector * kSectorBytes,
                        kSectorBytes);
        }
        std::uint32_t generation = 1;
        REQUIRE(decode_pmt_page(block.data(), PageId(5), uuid(1), out.data(), &generation));
        REQUIRE(generation == (torn == 255 ? 0 : UINT32_MAX));
        for (std::uint32_t i = 0; i < kPageEntries; ++i) {
            const bool is_new = (torn >> i / kPmtSectorEntries & 1) != 0;
            REQUIRE(out[i] == (is_new ? after : before)[i]);
        }
    }
    // A sector in another one's place is none.
    std::memcpy(block.data(), new_block.data() + kSectorBytes, kSectorBytes);
    CHECK_FALSE(decode_pmt_page(block.data(), PageId(5), uuid(1), out.data()));
}

TEST_CASE("snapshot record: comes back, and each flipped byte is seen") {
    const ArrayLayout l = layout_of(8, 128 * KiB);
    const Buffer record(l.snapshot_bytes);
    Snapshot s{7, 9, 1234567, 88, 4711, false, {}, {}};
    for (std::size_t i = 0; i < kCounters; ++i) s.counters[i] = 1000 + i;
    for (std::uint32_t i = 0; i < l.snapshot_bands(); ++i) s.open.push_back({i, i % 8, 80 + i});
    encode_snapshot(s, l, uuid(1), record.span());
    const auto out = decode_snapshot(record.span(), l, uuid(1));
    REQUIRE(out);
    CHECK(out->epoch == 7);
    CHECK(out->generation == 9);
    CHECK(out->next_version == 1234567);
    CHECK(out->next_band_sequence == 88);
    CHECK(out->used_blocks == 4711);
    CHECK_FALSE(out->table_damaged);
    CHECK(out->counters == s.counters);
    REQUIRE(out->open.size() == s.open.size());
    CHECK(out->open[3].band == 3);
    CHECK(out->open[3].published == 3);
    CHECK(out->open[3].sequence == 83);
    CHECK_FALSE(decode_snapshot(record.span(), l, uuid(2)));
    CHECK(unseen_flips(record.span(), [&] {
              return decode_snapshot(record.span(), l, uuid(1)).has_value();
          }) == 0);

    s.table_damaged = true;
    encode_snapshot(s, l, uuid(1), record.span());
    CHECK(decode_snapshot(record.span(), l, uuid(1))->table_damaged);

    // A scrub's cursor is another program's.
    for (const std::size_t at : {76, 80, 84}) {
        store<std::uint32_t>(record.data() + at, 1);
        store<std::uint32_t>(record.data() + 8, 0);
        store<std::uint32_t>(record.data() + 8, crc32c(record.span()));
        CHECK_FALSE(decode_snapshot(record.span(), l, uuid(1)));
        encode_snapshot(s, l, uuid(1), record.span());
    }

    s.open[2].band = l.bands;
    encode_snapshot(s, l, uuid(1), record.span());
    CHECK_FALSE(decode_snapshot(record.span(), l, uuid(1)));
    s.open[2] = {2, l.segments_per_band + 1, 1};
    encode_snapshot(s, l, uuid(1), record.span());
    CHECK_FALSE(decode_snapshot(record.span(), l, uuid(1)));
}

TEST_CASE("segment header: sealed and valid, and each flipped byte is seen") {
    const ArrayLayout l =
        GENERATE(layout_of(2, 64 * KiB), layout_of(8, 128 * KiB), layout_of(32, 64 * KiB));
    Random random(4);
    const Buffer memory(l.header_blocks * kBlockBytes);
    SegmentHeader header(l, memory.data());
    header.fixed().array = uuid(1);
    header.fixed().band = 5;
    header.fixed().segment = 6;
    header.fixed().band_sequence = 99;
    std::vector<Entry> entries;
    for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
        entries.push_back(random_entry(random));
        entries.back().lba.value %= l.pmt_pages * kPageEntries;
        header.set_entry(slot, entries.back());
    }
    header.fixed().max_version = kMaxVersion;
    CHECK_FALSE(header.valid(uuid(1), BandId(5), 6));
    header.seal();
    REQUIRE(header.valid(uuid(1), BandId(5), 6));
    bool all_same = true;
    for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
        all_same &= same(header.entry(slot), entries[slot]);
    }
    CHECK(all_same);
    CHECK(header.fixed().band_sequence == 99);
    CHECK_FALSE(header.valid(uuid(2), BandId(5), 6));
    CHECK_FALSE(header.valid(uuid(1), BandId(4), 6));
    CHECK_FALSE(header.valid(uuid(1), BandId(5), 7));
    CHECK(unseen_flips(memory.span(), [&] { return header.valid(uuid(1), BandId(5), 6); }) == 0);
    REQUIRE(header.valid(uuid(1), BandId(5), 6));
}

TEST_CASE("tps record: sealed and valid, and each flipped byte of its header is seen") {
    const auto entries = static_cast<std::uint16_t>(GENERATE(0, 1, 255, 256, 257, 300));
    Random random(5);
    const Buffer memory(4 * kBlockBytes);
    TpsRecord record(memory.span());
    TpsRecordFixed& f = record.fixed();
    f.array = uuid(1);
    f.epoch = 3;
    f.epoch_key = 0x1234;
    f.shard = 2;
    f.entries = entries;
    f.payload_blocks = entries / 2;
    f.position = 40960;
    f.sequence = 17;
    std::vector<Entry> stored;
    for (std::uint32_t i = 0; i < entries; ++i) {
        stored.push_back(random_entry(random));
        record.set_entry(i, stored.back());
    }
    auto valid = [&] { return record.valid(uuid(1), 3, 0x1234, 2, 40960); };
    CHECK_FALSE(valid());
    record.seal();
    REQUIRE(valid());
    CHECK(record.header_bytes() == (entries <= 256 ? 1 : 2) * kBlockBytes);
    CHECK(record.bytes() == record.header_bytes() + entries / 2 * kBlockBytes);
    bool all_same = true;
    for (std::uint32_t i = 0; i < entries; ++i) all_same &= same(record.entry(i), stored[i]);
    CHECK(all_same);
    CHECK_FALSE(record.valid(uuid(2), 3, 0x1234, 2, 40960));
    CHECK_FALSE(record.valid(uuid(1), 4, 0x1234, 2, 40960));
    CHECK_FALSE(record.valid(uuid(1), 3, 0x1235, 2, 40960));
    CHECK_FALSE(record.valid(uuid(1), 3, 0x1234, 1, 40960));
    CHECK_FALSE(record.valid(uuid(1), 3, 0x1234, 2, 36864));
    CHECK(unseen_flips(memory.span().first(record.header_bytes()), valid) == 0);
    // Less of it is there than its header is long.
    if (entries > 256) {
        const TpsRecord cut(memory.span().first(kBlockBytes));
        CHECK_FALSE(cut.valid(uuid(1), 3, 0x1234, 2, 40960));
    }
}

TEST_CASE("tps record: numbers of entries that can't be are refused") {
    const Buffer memory(16 * kBlockBytes);
    TpsRecord record(memory.span());
    auto sealed_with = [&](std::uint16_t entries, std::uint32_t payload) {
        record.fixed().entries = entries;
        record.fixed().payload_blocks = payload;
        record.seal();
        return record.valid(Uuid{}, 0, 0, 0, 0);
    };
    CHECK(sealed_with(2048, 2048));
    CHECK(sealed_with(2049, 1));
    record.fixed().entries = 1 << 20;  // a header longer than what is there
    CHECK_FALSE(record.valid(Uuid{}, 0, 0, 0, 0));
    CHECK_FALSE(sealed_with(10, 11));
}

TEST_CASE("band page: sealed and valid, and each flipped byte is seen") {
    const Buffer block(kBlockBytes);
    const ArrayLayout l = small_layout();
    BandPage page(l, block.data());
    CHECK_FALSE(page.valid(Uuid{}, 0));
    for (std::uint32_t i = 0; i < l.bands_per_page(); ++i) {
        page.record(i).sequence = 100 + i;
        page.record(i).segments = i;
        page.record(i).state = static_cast<BandState>(i % 4);
        page.set_column(i, l.width() - 1, {static_cast<std::uint8_t>(i), 0xfffffe});
    }
    page.seal(uuid(1), 3, 42);
    REQUIRE(page.valid(uuid(1), 3));
    CHECK(page.header().generation == 42);
    const std::uint32_t last = l.bands_per_page() - 1;
    CHECK(page.record(last).sequence == 100 + last);
    CHECK(page.column(last, l.width() - 1) == Column{static_cast<std::uint8_t>(last), 0xfffffe});
    CHECK(page.column(last, 0) == Column{0, 0});
    CHECK_FALSE(page.valid(uuid(2), 3));
    CHECK_FALSE(page.valid(uuid(1), 4));
    CHECK(unseen_flips(block.span(), [&] { return page.valid(uuid(1), 3); }) == 0);
    // A state that this program doesn't know, under a right checksum.
    page.record(7).state = static_cast<BandState>(4);
    page.seal(uuid(1), 3, 43);
    CHECK_FALSE(page.valid(uuid(1), 3));
}

TEST_CASE("band page: states have names") {
    CHECK(std::string(to_string(BandState::free)) == "free");
    CHECK(std::string(to_string(BandState::open)) == "open");
    CHECK(std::string(to_string(BandState::closed)) == "closed");
    CHECK(std::string(to_string(BandState::erasing)) == "erasing");
}
