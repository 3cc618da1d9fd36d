// SPDX-License-Identifier: Apache-2.0
// Writes each fuzzer's corpus by our own encoders: make_seeds FOLDER. The same files every time.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "format/band_page.h"
#include "format/pmt_page.h"
#include "format/segment_header.h"
#include "format/snapshot_record.h"
#include "format/tombstone.h"
#include "format/tps_record.h"
#include "input.h"
#include "superblock_pack.h"

namespace {

using namespace qlcshape;
using namespace qlcshape::fuzz;

std::filesystem::path folder;

void write(const std::string& target, const std::string& name, std::span<const std::byte> bytes) {
    std::filesystem::create_directories(folder / target);
    std::ofstream file(folder / target / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
}

// Once as it is, and once with the checksum left to the harness.
void write_both(const std::string& target, const std::string& name, std::uint8_t mode,
                std::span<const std::byte> bytes) {
    std::vector<std::byte> all{std::byte{mode}};
    all.insert(all.end(), bytes.begin(), bytes.end());
    write(target, name, all);
    all[0] = std::byte(mode | kSeal);
    write(target, name + "_sealed", all);
}

void entries() {
    std::byte e[kEntryBytes];
    store_entry(e, {EntryKind::data, Lba(0x123456789), Version(0xabcdef012345), 0x89abcdef});
    write("entry", "data", e);
}

void layouts() {
    const ArrayParameters small = small_array(), large = large_array();
    write("layout", "small", std::as_bytes(std::span(&small, 1)));
    write("layout", "large", std::as_bytes(std::span(&large, 1)));
}

Superblock superblock_of(const ArrayParameters& p, std::uint32_t volumes) {
    Superblock s;
    s.array = array_uuid();
    s.name = "fuzz";
    s.parameters = p;
    s.generation = 7;
    s.complete_generation = 6;
    s.epoch = 3;
    s.next_version = 1000;
    for (std::uint32_t i = 0; i < p.qlc_count + p.scm_count; ++i) {
        const bool qlc = i < p.qlc_count;
        MemberRecord m = make_member(p, qlc ? DeviceRole::qlc : DeviceRole::scm,
                                     static_cast<std::uint16_t>(qlc ? i : i - p.qlc_count));
        m.uuid.bytes[0] = static_cast<std::uint8_t>(i + 1);
        s.members.push_back(m);
    }
    for (std::uint32_t i = 0; i < volumes; ++i) {
        VolumeRecord v;
        v.name[0] = static_cast<char>('a' + i);
        v.first_extent = 2 * i;
        v.extents = 2;
        v.bytes = 3 * kPageSpanBytes - kBlockBytes;
        v.state = 1;
        s.volumes.push_back(v);
        s.extents.push_back({3 * std::uint64_t{i}, 1});
        s.extents.push_back({3 * std::uint64_t{i} + 1, 2});
    }
    return s;
}

void superblocks() {
    for (const std::uint8_t mode : {std::uint8_t{0}, kLarge}) {
        const ArrayParameters p = mode == 0 ? small_array() : large_array();
        const Superblock s = superblock_of(p, mode == 0 ? 2 : 0);
        Buffer record(layout_for(mode).superblock_record_bytes);
        encode_superblock(s, s.members[0].uuid, record.span());
        write_both("superblock", mode == 0 ? "small" : "large", mode,
                   pack_superblock(record.span()));
    }
}

void segment_headers() {
    for (const std::uint8_t mode : {std::uint8_t{0}, kLarge}) {
        const ArrayLayout& l = layout_for(mode);
        Buffer memory(l.header_blocks * kBlockBytes);
        SegmentHeader header(l, memory.data());
        SegmentHeaderFixed& f = header.fixed();
        f.array = array_uuid();
        f.band = 5;
        f.segment = 3;
        f.band_sequence = 9;
        f.frontier = 2;
        f.max_version = 1000;
        for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
            const Entry e{EntryKind::data, Lba(slot * 7), Version(1000 - slot), slot};
            header.set_entry(slot, slot % 5 == 4 ? Entry{} : e);
        }
        header.set_entry(l.slots_per_segment - 1,
                         {EntryKind::tombstones, Lba(0), Version(1000), 1});
        header.seal();
        write_both("segment_header", mode == 0 ? "small" : "large", mode, header.bytes());
    }
}

void tps_records() {
    constexpr std::uint32_t kData = 2, kTrims = 3;
    Buffer memory((1 + kData) * kBlockBytes);
    TpsRecord record(memory.span());
    TpsRecordFixed& f = record.fixed();
    f.array = array_uuid();
    f.epoch = 3;
    f.epoch_key = 0x1234;
    f.position = 8192;
    f.sequence = 5;
    f.acked_through = f.tail = 4;
    for (std::uint32_t tell_tail = 0; tell_tail < 2; ++tell_tail) {
        f.entries = tell_tail != 0 ? 0 : kData + kTrims;
        f.payload_blocks = tell_tail != 0 ? 0 : kData;
        for (std::uint32_t i = 0; i < f.entries; ++i) {
            if (i < kData) {
                record.set_entry(i,
                                 {EntryKind::data, Lba(i), Version(20 + i), zero_block_crc32c()});
            } else {
                record.set_entry(i, {EntryKind::tombstones, Lba(512 * i), Version(20 + i), 500});
            }
        }
        record.seal();
        write_both("tps_record", tell_tail != 0 ? "tail" : "data_and_trims", 0,
                   memory.span().first(record.bytes()));
    }
}

void band_pages() {
    Buffer memory(kBlockBytes);
    const ArrayLayout& l = layout_for(0);
    BandPage page(l, memory.data());
    for (std::uint32_t i = 0; i < l.bands_per_page(); ++i) {
        BandRecord& r = page.record(i);
        r.sequence = i;
        r.state = static_cast<BandState>(i % 4);
        r.stream = i / 4 % 2;
        r.segments = r.state == BandState::free ? 0 : i % 9;
        r.valid = r.segments * 10;
        r.data_columns = static_cast<std::uint8_t>(l.p.data_strips);
        r.rotation = static_cast<std::uint8_t>(l.width());
        for (std::uint32_t c = 0; c < l.width(); ++c)
            page.set_column(i, c, {static_cast<std::uint8_t>(c), kSuperblockUnits + i % 8});
    }
    page.seal(array_uuid(), 0, 4);
    write_both("band_page", "states", 0, memory.span());
}

void pmt_pages() {
    const ArrayLayout& l = layout_for(0);
    std::vector<PmtEntry> entries(kPageEntries);
    for (std::uint32_t i = 0; i < kPageEntries; ++i) {
        const Pba pba = l.pba(BandId(i % l.bands), i % l.segments_per_band, i % 31);
        entries[i] = i % 3 != 0 ? PmtEntry::make_mapped(l, pba, i * 0x1234567)
                                : PmtEntry::make_unmapped(static_cast<Unmapped>(i % 3), Version(i));
    }
    Buffer block(kBlockBytes);
    encode_pmt_page(entries.data(), PageId(7), array_uuid(), 1, block.data());
    write_both("pmt_page", "mixed", 0, block.span());
}

void snapshots() {
    const ArrayLayout& l = layout_for(0);
    Snapshot s;
    s.epoch = 3;
    s.generation = 12;
    s.next_version = 1000;
    s.next_band_sequence = 40;
    s.used_blocks = 77;
    s.open = {{39, 4, 0}, {38, 7, 1}};
    Buffer record(l.snapshot_bytes);
    encode_snapshot(s, l, array_uuid(), record.span());
    write_both("snapshot_record", "two_open", 0, record.span());
}

void tombstones() {
    Buffer block(kBlockBytes);
    for (std::uint32_t i = 0; i < 20; ++i) {
        store_tombstone(block.data(), i, {Lba(512 * i + i), 512 - i, Version(100 + i)});
    }
    write("tombstones", "twenty", block.span().first(16 + 16 * 20));
}

void array_files() {
    const char* text =
        "[array]\nname = \"a\"\ndata_strips = 4\nstrip = \"64KiB\"\nband = \"1MiB\"\n"
        "overprovision = 0.20\n\n[engine]\nshards = 2\ncores = [0, 1]\ngc_threads = 1\n"
        "pmt_cache = \"4MiB\"\n\n[[device]]\nrole = \"qlc\"\npath = \"q.img\"\nsize = 4096\n\n"
        "[[device]]\nrole = \"scm\"\npath = \"memory:s\"\nsize = \"32MiB\"\n";
    write("array_file", "whole", std::as_bytes(std::span(text, std::strlen(text))));
    const char* size = "128KiB";
    write("array_file", "size", std::as_bytes(std::span(size, std::strlen(size))));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: make_seeds FOLDER\n", stderr);
        return 2;
    }
    folder = argv[1];
    entries();
    layouts();
    superblocks();
    segment_headers();
    tps_records();
    band_pages();
    pmt_pages();
    snapshots();
    tombstones();
    array_files();
    return 0;
}
