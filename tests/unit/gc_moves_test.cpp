// SPDX-License-Identifier: Apache-2.0
// What GC moves and what it leaves, and when the band it came from may be erased.
#include "gc/collector.h"
#include "shard_rig.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kSlots = 31;      // of a segment: its blocks are full
constexpr std::uint64_t kSegments = 8;    // of a band
constexpr std::uint64_t kBandOfPage = 2;  // bands that the blocks of one page of the table fill

// A shard whose bands are full, and a collector that asks it. The first band is the one to move.
struct GcRig : ShardRig {
    MapPort port;
    std::function<bool(MapBatch&)> answers;  // in place of the shard
    Counters counters;
    std::unique_ptr<Collector> gc;

    GcRig() {
        REQUIRE(array.layout.slots_per_segment == kSlots);
        REQUIRE(array.layout.segments_per_band == kSegments);
        port.queue = &queue;
        gc = std::make_unique<Collector>(array, *bands, *gate,
                                         std::vector<MapPort*>{&shard->map_port()}, queue, counters,
                                         Buffer(Collector::buffer_bytes(array.layout)));
    }
    // Bands of ones, up to where GC begins. Another collector has them, as far as this one knows.
    void fill_the_rest() {
        for (std::uint64_t page = 1; !gate->gc_wanted(); ++page) {
            REQUIRE(page < array.layout.pmt_pages);
            for (std::uint64_t i = 0; i < kBandOfPage * kSegments && !gate->gc_wanted(); ++i) {
                write_blocks(page * kPageEntries + i * kSlots, kSlots, 1);
                run();
            }
        }
        for (std::uint32_t i = 1; i < array.layout.bands; ++i)
            static_cast<void>(bands->begin_move(BandId(i)));
    }
    // Band 0 is opened first, with the number 1.
    BandRecord first() const { return bands->record_of(BandId(0)); }
    bool given_back() const { return first().state == BandState::erasing; }

    void collect(int polls = 200) {
        for (int i = 0; i < polls; ++i) {
            if (bands->wants_band(Stream::gc) && gate->gc_may_open())
                bands->opened(*bands->begin_open(Stream::gc, 3));
            poll();
            for (MapBatch* b = port.mailbox.take_all(); b != nullptr;) {
                MapBatch* const next = b->mail_next;
                if (!answers(*b)) shard->map_port().send(*b);
                b = next;
            }
            gc->poll();
        }
    }
    // A collector whose questions go through `answers`.
    void answer(std::function<bool(MapBatch&)> what) {
        answers = std::move(what);
        gc = std::make_unique<Collector>(array, *bands, *gate, std::vector<MapPort*>{&port}, queue,
                                         counters, Buffer(Collector::buffer_bytes(array.layout)));
    }
    // The table's entry of a block of the first page, as it is on the drive after a sweep.
    PmtEntry swept(std::uint64_t block) {
        const std::uint64_t number = shard->ask_sweep();
        run();
        REQUIRE(shard->sweeps_done() >= number);
        std::vector<PmtEntry> entries(kPageEntries);
        std::uint32_t generation = 0;
        REQUIRE(array.decode_page(scm->at(array.layout.pmt_page_offset(PageId(0))), PageId(0),
                                  entries.data(), generation));
        return entries[block];
    }
    // Changes a bit of what is in a slot of the first band, and of P and Q over it, each elsewhere:
    // more than parity brings back.
    void lose(std::uint32_t segment, std::uint32_t slot, std::uint64_t byte) {
        const ArrayLayout& l = array.layout;
        const std::uint64_t at = std::uint64_t{l.header_blocks + slot} * kBlockBytes;
        const auto change = [&](std::uint32_t role, std::uint64_t in_strip) {
            const Location strip = array.locate(BandId(0), segment, role);
            *qlc[strip.drive]->at(strip.offset + in_strip) ^= std::byte{1};
        };
        const std::uint64_t in_strip = at % l.p.strip_bytes + byte;
        change(static_cast<std::uint32_t>(at / l.p.strip_bytes), in_strip);
        for (std::uint32_t i = 0; i < 2; ++i) change(l.p.data_strips + i, in_strip + 8 + i);
    }
};

constexpr std::uint64_t kKept = 20;  // of the first band's blocks, from the first on

// Little of the first band stays valid.
void write_first_band(GcRig& rig) {
    for (std::uint64_t i = 0; i < kSegments; ++i) {
        rig.write_blocks(i * kSlots, kSlots, 7);
        rig.run();
    }
    rig.fill_the_rest();
    const std::uint64_t end = kSegments * kSlots;
    const TestOp& trim = rig.submit(OpKind::trim, kKept * kBlockBytes, (end - kKept) * kBlockBytes);
    rig.run();
    REQUIRE(trim.good());
    REQUIRE(rig.first().sequence == 1);
    REQUIRE(rig.first().valid == kKept);
}

}  // namespace

TEST_CASE("gc: what the table leads to is moved, and nothing else") {
    GcRig rig;
    write_first_band(rig);
    const PmtEntry before = rig.swept(0);
    REQUIRE(rig.array.layout.band_of(before.pba(rig.array.layout)) == BandId(0));
    rig.collect();
    CHECK(rig.given_back());
    CHECK(rig.first().valid == 0);
    CHECK(rig.counters.get(Counter::gc_bands_moved) == 1);
    CHECK(rig.counters.get(Counter::gc_blocks_moved) == kKept);
    for (const std::uint64_t block : {std::uint64_t{0}, kKept - 1}) {
        const PmtEntry after = rig.swept(block);
        REQUIRE(after.mapped());
        CHECK(rig.array.layout.band_of(after.pba(rig.array.layout)) != BandId(0));
    }
    CHECK(rig.reads(0, kKept * kBlockBytes, 7));
    CHECK(rig.reads(kKept * kBlockBytes, kBlockBytes, 0));
}

TEST_CASE("gc: a band is not given back before what was moved is durable elsewhere") {
    GcRig rig;
    write_first_band(rig);
    for (auto& drive : rig.qlc)
        drive->hold = [](const Io& io) { return io.point == PersistencePoint::gc_strip_write; };
    rig.collect();
    REQUIRE(rig.strips_held() != 0);
    CHECK_FALSE(rig.given_back());
    rig.release_strips();
    rig.collect();
    CHECK(rig.given_back());
    CHECK(rig.reads(0, kKept * kBlockBytes, 7));
}

TEST_CASE("gc: a band is not given back while it is read") {
    GcRig rig;
    write_first_band(rig);
    rig.bands->begin_read(BandId(0));
    rig.collect();
    CHECK(rig.first().valid == 0);
    CHECK_FALSE(rig.given_back());
    rig.bands->end_read(BandId(0));
    rig.collect();
    CHECK(rig.given_back());
}

TEST_CASE("gc: a band whose blocks can't be looked up stays as it is") {
    GcRig rig;
    write_first_band(rig);
    bool asked = false;
    rig.answer([&](MapBatch& batch) {
        if (asked || batch.kind != MapKind::lookup) return false;
        asked = true;
        for (MapItem& item : batch.items) {
            item.matched = false;
            item.failed = true;
        }
        batch.unanswered = 1;
        batch.answered();
        return true;
    });
    rig.collect();
    REQUIRE(asked);
    CHECK(rig.bands->out_of_use() == 1);
    CHECK(rig.first().state == BandState::closed);
    CHECK(rig.reads(0, kKept * kBlockBytes, 7));
}

TEST_CASE("gc: a band with trims that can't be read stays as it is") {
    const bool lost = GENERATE(false, true);
    CAPTURE(lost);
    GcRig rig;
    rig.write_blocks(0, kSlots, 7);
    rig.run();
    rig.submit(OpKind::trim, 4 * kBlockBytes, kBlockBytes);
    rig.run();
    rig.write_blocks(100, kSlots - 1, 7);  // with the block of trims they fill the segment
    rig.run();
    for (std::uint64_t i = 2; i < kSegments; ++i) {
        rig.write_blocks(100, kSlots, 7);
        rig.run();
    }
    rig.fill_the_rest();
    rig.submit(OpKind::trim, 100 * kBlockBytes, kSlots * kBlockBytes);
    rig.run();
    REQUIRE(rig.first().valid == kSlots - 1);
    REQUIRE(rig.first().tombstones == 1);
    if (lost) rig.lose(1, kSlots - 1, 16);  // the LBA of the first trim in its block
    rig.collect();
    CHECK(rig.bands->out_of_use() == (lost ? 1 : 0));
    CHECK(rig.given_back() != lost);
    CHECK(rig.reads(4 * kBlockBytes, kBlockBytes, 0));
}

// Else policy would take the band for one that is worth moving, again and again.
TEST_CASE("gc: a lost block that is moved takes space in its new band") {
    GcRig rig;
    write_first_band(rig);
    rig.lose(0, 3, 0);
    rig.collect();
    CHECK(rig.given_back());
    const PmtEntry lost = rig.swept(3);
    CHECK_FALSE(lost.mapped());
    CHECK(lost.reason() == Unmapped::poisoned);
    const BandId to = rig.array.layout.band_of(rig.swept(2).pba(rig.array.layout));
    CHECK(rig.bands->record_of(to).valid == kKept - 1);
    CHECK(rig.bands->record_of(to).tombstones == 1);
}

// 765 trims that stand, in three blocks of a segment: there is memory for those of one.
TEST_CASE("gc: the trims of a segment are carried without memory for all of them") {
    GcRig rig;
    const std::uint64_t pages = rig.array.layout.pmt_pages;
    constexpr std::uint64_t kTrimmed = 255;  // of each of three pages
    for (std::uint64_t page = pages - 3; page < pages; ++page) {
        rig.write_blocks(page * kPageEntries, 512, 7);
        rig.run();
    }
    while (rig.bands->user_frontier().segment != 0) {  // a band of its own
        rig.write_blocks((pages - 1) * kPageEntries, kSlots, 7);
        rig.run();
    }
    for (std::uint64_t page = pages - 3; page < pages; ++page) {
        for (std::uint64_t i = 0; i < kTrimmed; ++i) {
            rig.submit(OpKind::trim, (page * kPageEntries + 2 * i) * kBlockBytes, kBlockBytes);
            if (i % 64 == 0) rig.run();
        }
        rig.run();
    }
    const BandId band = rig.bands->user_frontier().band;
    rig.write_blocks(0, kSlots - 3, 7);
    rig.run();
    REQUIRE(rig.bands->record_of(band).tombstones == 3);
    rig.fill_the_rest();
    rig.bands->abandon_move(band);
    const std::uint64_t before = rig.gc->memory_bytes();
    rig.collect(2000);
    CHECK(rig.bands->record_of(band).state == BandState::erasing);
    CHECK(rig.gc->memory_bytes() == before);
    CHECK(rig.reads((pages - 1) * kPageEntries * kBlockBytes, kBlockBytes, 0));
}
