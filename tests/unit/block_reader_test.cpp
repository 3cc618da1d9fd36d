// SPDX-License-Identifier: Apache-2.0
// Verified reads of a committed segment: what is wrong on the drives is rebuilt and proved, or
// told.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "base/crc32c.h"
#include "base/random.h"
#include "recovery/segment_scan.h"
#include "segment/block_reader.h"
#include "segment/committer.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

class Drive final : public Device {
  public:
    explicit Drive(std::unique_ptr<Device> memory)
        : Device(memory->path(), memory->geometry()), memory_(std::move(memory)) {}
    ~Drive() override { forget_memory_device(path()); }
    void start(Io& io, IoQueue& queue) override {
        if (io.kind == IoKind::read && fail_reads) return queue.complete(io, EIO);
        memory_->start(io, queue);
    }
    Device& memory() { return *memory_; }
    bool fail_reads = false;

  private:
    std::unique_ptr<Device> memory_;
};

// An array with one full segment on its drives.
struct Array {
    ArrayContext context;
    std::vector<std::unique_ptr<Drive>> drives;
    IoQueue queue;
    Counters counters;
    Buffer truth;  // the segment's strips as they were written
    Placement placement;
    std::vector<Lba> lbas;
    std::unique_ptr<BandTable> table;

    // `empty`: slots at the end that stay so.
    explicit Array(std::uint32_t k = 3, std::uint64_t strip = 64 * KiB, std::uint32_t empty = 0) {
        context = ArrayContext(small_layout({.k = k,
                                             .strip_bytes = strip,
                                             .strips_per_band = 4,
                                             .bands = 58,
                                             .scm_bytes = 256 * MiB}));
        const ArrayParameters& p = context.layout.p;
        Random random(k);
        context.array = Uuid::random(random);
        for (std::uint32_t i = 0; i < p.qlc_count; ++i) {
            auto opened = open_device("memory:block_reader_" + std::to_string(i), p.qlc_bytes,
                                      Access::read_write, true);
            REQUIRE(opened);
            drives.push_back(std::make_unique<Drive>(std::move(*opened)));
            context.qlc.push_back(drives[i].get());
        }
        write_segment(random, empty);
    }
    void write_segment(Random& random, std::uint32_t empty) {
        const ArrayLayout& l = context.layout;
        table = std::make_unique<BandTable>(l);
        BandTable& bands = *table;
        for (std::uint32_t i = 0; i < l.bands; ++i) bands.restore(BandId(i), BandRecord{});
        bands.opened(*bands.begin_open(Stream::user, 1));
        truth = Buffer(SegmentBuffer::bytes_needed(l));
        SegmentBuffer segment(l, truth.span());
        segment.reset();
        while (segment.room() != empty) {
            std::byte* data = segment.slot_data(segment.fill());
            for (std::size_t at = 0; at < kBlockBytes; at += 8) store(data + at, random.next());
            lbas.emplace_back(random.below(l.pmt_pages * kPageEntries));
            segment.append({EntryKind::data, lbas.back(), Version(7), crc32c({data, kBlockBytes})});
        }
        segment.finish_filling();
        Committer committer(context, bands, Stream::user, 0, queue, counters);
        bool durable = false;
        committer.durable = [&](SegmentBuffer&) { durable = true; };
        committer.commit(segment);
        for (int i = 0; i < 20; ++i) {
            committer.poll();
            queue.poll();
        }
        REQUIRE(durable);
        placement = segment.placement;
    }
    const std::byte* slot_truth(std::uint32_t slot) const {
        return truth.data() + context.layout.slot_byte(slot);
    }
    std::uint32_t role_of_slot(std::uint32_t slot) const {
        return (context.layout.header_blocks + slot) / context.layout.strip_blocks();
    }
    std::uint32_t row_of_slot(std::uint32_t slot) const {
        return (context.layout.header_blocks + slot) % context.layout.strip_blocks();
    }
    std::uint32_t drive_of(std::uint32_t role) const {
        return context.locate(placement.band, placement.segment, role).drive;
    }
    // Spoils block `row` of a strip on its drive.
    void spoil(std::uint32_t role, std::uint32_t row) {
        Buffer noise(kBlockBytes);
        std::memset(noise.data(), 0x30 + static_cast<int>(role), kBlockBytes);
        Io io;
        io.kind = IoKind::write;
        io.device = &drives[drive_of(role)]->memory();
        io.offset = context.locate(placement.band, placement.segment, role).offset +
                    std::uint64_t{row} * kBlockBytes;
        io.bytes = kBlockBytes;
        io.data = noise.data();
        REQUIRE(run(queue, io));
    }
    void lose(std::uint32_t role) { context.qlc.set(drive_of(role), nullptr); }
    std::uint64_t count(Counter counter) const { return counters.get(counter); }
};

struct Outcome {
    std::uint32_t bad = 0;
    std::uint32_t wrong = 0;  // blocks that are not told as bad and differ from the truth
};

Outcome read_some(Array& array, BlockReader& reader, std::uint32_t slot, std::uint32_t blocks) {
    const ArrayLayout& l = array.context.layout;
    Buffer data(std::size_t{blocks} * kBlockBytes);
    BlockRead read;
    read.first = l.pba(array.placement.band, array.placement.segment, slot);
    read.blocks = blocks;
    read.data = data.data();
    for (std::uint32_t i = 0; i < blocks; ++i) {
        const std::uint32_t crc = crc32c({array.slot_truth(slot + i), kBlockBytes});
        read.expected[i] = PmtEntry::make_mapped(l, Pba(read.first.value + i), crc);
        read.lbas[i] = array.lbas[slot + i];
    }
    bool done = false;
    read.context = &done;
    read.done = [](BlockRead& r) { *static_cast<bool*>(r.context) = true; };
    reader.read(read);
    for (int i = 0; i < 1000 && !done; ++i) {
        reader.poll();
        array.queue.poll();
    }
    REQUIRE(done);
    REQUIRE(reader.idle());
    Outcome outcome{read.bad, 0};
    for (std::uint32_t i = 0; i < blocks; ++i) {
        if ((read.bad >> i & 1) != 0) continue;
        const bool same = std::memcmp(data.data() + i * kBlockBytes, array.slot_truth(slot + i),
                                      kBlockBytes) == 0;
        if (!same) ++outcome.wrong;
    }
    return outcome;
}

// All of the segment; how many blocks were bad. Nothing may be wrong.
std::uint32_t read_all(Array& array, BlockReader& reader) {
    std::uint32_t bad = 0;
    const ArrayLayout& l = array.context.layout;
    for (std::uint32_t slot = 0; slot < l.slots_per_segment;) {
        const Pba pba = l.pba(array.placement.band, array.placement.segment, slot);
        const std::uint32_t n = reader.run_length(pba, l.slots_per_segment - slot);
        const Outcome outcome = read_some(array, reader, slot, n);
        CHECK(outcome.wrong == 0);
        bad += static_cast<std::uint32_t>(__builtin_popcount(outcome.bad));
        slot += n;
    }
    return bad;
}

}  // namespace

TEST_CASE("block reader: runs end with the strip and with 32 blocks") {
    Array array(8, 256 * KiB);
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    auto run_from = [&](std::uint32_t slot, std::uint32_t blocks) {
        return reader.run_length(array.context.layout.pba(BandId(1), 1, slot), blocks);
    };
    REQUIRE(array.context.layout.header_blocks == 2);
    CHECK(run_from(0, 1) == 1);
    CHECK(run_from(0, 1000) == 32);
    CHECK(run_from(60, 1000) == 2);
    CHECK(run_from(61, 1000) == 1);
    CHECK(run_from(62, 31) == 31);
}

TEST_CASE("block reader: whole drives, nothing to rebuild") {
    Array array(GENERATE(2u, 3u, 16u), 128 * KiB);
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    CHECK(read_all(array, reader) == 0);
    CHECK(array.count(Counter::verify_failed) == 0);
    CHECK(array.count(Counter::reconstructed) == 0);
}

TEST_CASE("block reader: a spoiled block is rebuilt, proved and counted") {
    Array array;
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    for (const std::uint32_t slot : {0u, 20u, array.context.layout.slots_per_segment - 1}) {
        array.spoil(array.role_of_slot(slot), array.row_of_slot(slot));
    }
    CHECK(read_all(array, reader) == 0);
    CHECK(array.count(Counter::verify_failed) == 3);
    CHECK(array.count(Counter::reconstructed) == 3);
    CHECK(array.count(Counter::unreadable) == 0);
}

TEST_CASE("block reader: two strips of a row lie") {
    Array array;
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    const std::uint32_t slot = 20;
    const std::uint32_t role = array.role_of_slot(slot);
    const std::uint32_t second = GENERATE(0u, 2u, 3u, 4u);
    REQUIRE(role == 1);
    array.spoil(role, array.row_of_slot(slot));
    array.spoil(second, array.row_of_slot(slot));
    const Outcome outcome = read_some(array, reader, slot, 1);
    CHECK(outcome.bad == 0);
    CHECK(outcome.wrong == 0);
    CHECK(array.count(Counter::reconstructed) == 1);
}

TEST_CASE("block reader: any two drives gone") {
    const std::uint32_t a = GENERATE(0u, 1u, 2u, 3u, 4u);
    const std::uint32_t b = GENERATE(0u, 1u, 2u, 3u, 4u);
    Array array;
    array.lose(a);
    array.lose(b);
    INFO("roles " << a << " and " << b);
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    CHECK(read_all(array, reader) == 0);
    CHECK(array.count(Counter::unreadable) == 0);
    const std::uint32_t strip = array.context.layout.strip_blocks();
    std::uint64_t lost = 0;
    for (std::uint32_t role = 0; role < 3; ++role) {
        if (role == a || role == b) lost += role == 0 ? strip - 1 : strip;
    }
    CHECK(array.count(Counter::reconstructed) == lost);
}

TEST_CASE("block reader: header and block of a header in several blocks") {
    Array array(16, 128 * KiB);
    REQUIRE(array.context.layout.header_blocks == 2);
    array.lose(0);
    array.spoil(5, 7);
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    CHECK(read_all(array, reader) == 0);
    CHECK(array.count(Counter::reconstructed) == 30 + 1);
}

TEST_CASE("block reader: drives that fail to read are as good as gone") {
    Array array;
    array.drives[array.drive_of(1)]->fail_reads = true;
    array.drives[array.drive_of(3)]->fail_reads = true;
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    CHECK(read_all(array, reader) == 0);
    CHECK(array.count(Counter::io_errors) > 0);
    CHECK(array.count(Counter::reconstructed) == 16);
}

TEST_CASE("block reader: three wrong in a row is an error for that block alone") {
    Array array;
    const std::uint32_t slot = 20;
    const std::uint32_t row = array.row_of_slot(slot);
    SECTION("all three lie") {
        for (const std::uint32_t role : {1u, 2u, 4u}) array.spoil(role, row);
    }
    SECTION("one drive gone and two lie") {
        array.lose(4);
        array.spoil(1, row);
        array.spoil(0, row);
    }
    SECTION("two drives gone and one lies") {
        array.lose(3);
        array.lose(4);
        array.spoil(1, row);
    }
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    const Outcome outcome = read_some(array, reader, slot - 2, 5);
    CHECK(outcome.bad == 1u << 2);
    CHECK(outcome.wrong == 0);
    CHECK(array.count(Counter::unreadable) == 1);
}

TEST_CASE("block reader: three drives gone") {
    Array array;
    for (const std::uint32_t role : {0u, 1u, 4u}) array.lose(role);
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    const std::uint32_t strip = array.context.layout.strip_blocks();
    CHECK(read_all(array, reader) == 2 * strip - 1);
}

TEST_CASE("block reader: without the header nothing can be proved") {
    Array array;
    for (const std::uint32_t role : {0u, 3u, 4u}) array.spoil(role, 0);
    array.spoil(1, 5);
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    CHECK(read_all(array, reader) == 1);
}

TEST_CASE("block reader: a table that expects other contents gets none") {
    Array array;
    const ArrayLayout& l = array.context.layout;
    BlockReader reader(array.context, *array.table, array.queue, array.counters,
                       BlockReader::Damage::ignored);
    const bool other_block = GENERATE(false, true);
    const Buffer data(kBlockBytes);
    BlockRead read;
    read.first = l.pba(array.placement.band, array.placement.segment, 4);
    read.blocks = 1;
    read.data = data.data();
    const std::uint32_t crc = crc32c({array.slot_truth(4), kBlockBytes});
    // Either the checksum differs, or the block is told to be another LBA's and can't be read.
    read.expected[0] = PmtEntry::make_mapped(l, read.first, other_block ? crc : ~crc);
    read.lbas[0] = other_block ? Lba(array.lbas[4].value + 1) : array.lbas[4];
    if (other_block) array.spoil(0, array.row_of_slot(4));
    bool done = false;
    read.context = &done;
    read.done = [](BlockRead& r) { *static_cast<bool*>(r.context) = true; };
    reader.read(read);
    for (int i = 0; i < 100 && !done; ++i) {
        reader.poll();
        array.queue.poll();
    }
    REQUIRE(done);
    CHECK(read.bad == 1);
}

TEST_CASE("rebuild: the header of a segment, whatever two strips are worth") {
    Array array(GENERATE(3u, 16u), 128 * KiB);
    const ArrayLayout& l = array.context.layout;
    SECTION("as it lies there") {}
    SECTION("spoiled") { array.spoil(0, l.header_blocks - 1); }
    SECTION("spoiled beside another strip") {
        array.spoil(0, 0);
        array.spoil(2, 0);
    }
    SECTION("on a drive that is gone") { array.lose(0); }
    SECTION("on one of two drives that are gone") {
        array.lose(0);
        array.lose(array.context.layout.p.data_strips);
    }
    SECTION("on a drive that is gone beside a spoiled strip") {
        array.lose(0);
        array.spoil(1, 0);
    }
    Rebuild rebuild(array.context, array.queue);
    bool done = false;
    bool good = false;
    rebuild.header_of(array.placement.band, array.placement.sequence, array.placement.segment,
                      [&](bool result) {
                          done = true;
                          good = result;
                      });
    for (int i = 0; i < 100 && !done; ++i) array.queue.poll();
    REQUIRE(done);
    REQUIRE(good);
    CHECK_FALSE(rebuild.busy());
    CHECK(std::memcmp(rebuild.header().bytes().data(), array.truth.data(),
                      l.header_blocks * kBlockBytes) == 0);
    // A header of another life of the band is none.
    rebuild.header_of(array.placement.band, array.placement.sequence + 1, array.placement.segment,
                      [&](bool result) { good = result; });
    for (int i = 0; i < 100 && rebuild.busy(); ++i) array.queue.poll();
    CHECK_FALSE(good);
    // A place that was never written has none.
    rebuild.header_of(array.placement.band, array.placement.sequence, array.placement.segment + 1,
                      [&](bool result) { good = result; });
    for (int i = 0; i < 100 && rebuild.busy(); ++i) array.queue.poll();
    CHECK_FALSE(good);
}

TEST_CASE("segment scan: a segment is whole with every strip right, and wrong drives are named") {
    const std::uint32_t k = GENERATE(3u, 8u);
    const std::uint32_t width = k + 2;
    for (std::uint32_t first = 0; first < width; ++first) {
        for (const std::uint32_t second : {first, (first + 1) % width, (first + k) % width}) {
            INFO("roles " << first << " and " << second);
            Array array(k);
            const Placement& p = array.placement;
            SegmentScan scan(array.context, array.queue);
            REQUIRE(scan.prove(p.band, p.sequence, p.segment) == Proof::whole);
            CHECK(scan.wrong_strips().empty());
            CHECK(scan.prove(p.band, p.sequence + 1, p.segment) == Proof::unproved);
            array.spoil(first, first % 3);
            if (second != first) array.spoil(second, 5);
            REQUIRE(scan.prove(p.band, p.sequence, p.segment) == Proof::mendable);
            std::vector<std::uint32_t> named;
            for (const Location& strip : scan.wrong_strips()) named.push_back(strip.drive);
            std::vector<std::uint32_t> wrong{array.drive_of(first)};
            if (second != first) wrong.push_back(array.drive_of(second));
            std::ranges::sort(named);
            std::ranges::sort(wrong);
            CHECK(named == wrong);
            CHECK(std::memcmp(scan.header().bytes().data(), array.truth.data(),
                              k * array.context.layout.p.strip_bytes) == 0);
        }
    }
}

TEST_CASE("segment scan: a strip that can't be read is wrong, where zeroes belong as elsewhere") {
    Array array(3, 64 * KiB, 2 * 16);  // the last two data strips stay empty
    const Placement& p = array.placement;
    SegmentScan scan(array.context, array.queue);
    REQUIRE(scan.prove(p.band, p.sequence, p.segment) == Proof::whole);
    const std::uint32_t role = GENERATE(1u, 2u, 3u, 4u);
    const std::uint32_t drive = array.drive_of(role);
    SECTION("since its drive fails") { array.drives[drive]->fail_reads = true; }
    bool missing = false;
    SECTION("since its drive is missing") {
        array.lose(role);
        missing = true;
    }
    CHECK(scan.prove(p.band, p.sequence, p.segment) == Proof::mendable);
    REQUIRE(scan.wrong_strips().size() == 1);
    CHECK(scan.wrong_strips()[0].drive == drive);
    CHECK(scan.all_read() == missing);
}

TEST_CASE("segment scan: three strips away are not proved, and three silent drives are told") {
    Array array;
    const Placement& p = array.placement;
    SegmentScan scan(array.context, array.queue);
    std::string silent;
    for (const std::uint32_t role : {1u, 2u, 4u}) {
        CHECK(scan.prove(p.band, p.sequence, p.segment) != Proof::unproved);
        array.drives[array.drive_of(role)]->fail_reads = true;
    }
    for (const auto& drive : array.drives) {
        if (drive->fail_reads) silent += (silent.empty() ? "" : ", ") + drive->path();
    }
    CHECK(scan.prove(p.band, p.sequence, p.segment) == Proof::unread);
    CHECK(scan.silent_drives() == silent);
    for (const std::uint32_t role : {1u, 2u, 4u}) {
        array.drives[array.drive_of(role)]->fail_reads = false;
        // Wrong in the same row: more than P and Q can tell.
        array.spoil(role, 7);
    }
    CHECK(scan.prove(p.band, p.sequence, p.segment) == Proof::unproved);
}

TEST_CASE("segment scan: a block is read from where it lies, or rebuilt, and proved") {
    Array array;
    const ArrayLayout& l = array.context.layout;
    const Placement& p = array.placement;
    SegmentScan scan(array.context, array.queue);
    for (const std::uint32_t slot : {0u, 17u, l.slots_per_segment - 1}) {
        const Entry entry{EntryKind::data, array.lbas[slot], Version(7),
                          crc32c({array.slot_truth(slot), kBlockBytes})};
        for (int spoiled = 0; spoiled < 2; ++spoiled) {
            const std::byte* block = scan.read_block(p.band, p.sequence, p.segment, slot, entry);
            REQUIRE(block != nullptr);
            CHECK(std::memcmp(block, array.slot_truth(slot), kBlockBytes) == 0);
            array.spoil(array.role_of_slot(slot), array.row_of_slot(slot));
        }
    }
}
