// SPDX-License-Identifier: Apache-2.0
// A segment from its first block to its strips on the drives.
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "base/crc32c.h"
#include "base/random.h"
#include "raid6/parity.h"
#include "segment/committer.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// A memory device that can be told to fail.
class Drive final : public Device {
  public:
    Drive(std::unique_ptr<Device> memory, Geometry geometry)
        : Device(memory->path(), geometry), memory_(std::move(memory)) {}
    ~Drive() override { forget_memory_device(path()); }
    void start(Io& io, IoQueue& queue) override {
        if (io.kind == IoKind::flush) ++flushes;
        if (io.kind == IoKind::flush && hold_next) {
            hold_next = false;
            held = {&io, &queue};
        } else if (io.kind == IoKind::write && fail_writes != 0) {
            --fail_writes;
            queue.complete(io, EIO);
        } else if (io.kind == IoKind::flush && fail_flushes != 0) {
            --fail_flushes;
            queue.complete(io, EIO);
        } else {
            memory_->start(io, queue);
        }
    }
    unsigned fail_writes = 0;
    unsigned fail_flushes = 0;
    unsigned flushes = 0;
    bool hold_next = false;  // the next flush, until end_held()
    void end_held(int error_number) { held.second->complete(*held.first, error_number); }

  private:
    std::pair<Io*, IoQueue*> held;
    std::unique_ptr<Device> memory_;
};

struct Array {
    ArrayContext context;
    std::vector<std::unique_ptr<Drive>> drives;
    IoQueue queue;
    Counters counters;
    std::unique_ptr<BandTable> bands;
    std::vector<Buffer> memory;
    std::vector<std::unique_ptr<SegmentBuffer>> segments;
    std::vector<SegmentBuffer*> done;

    explicit Array(std::uint32_t k, std::uint64_t strip, bool volatile_cache = false) {
        context = ArrayContext(small_layout({.k = k,
                                             .strip_bytes = strip,
                                             .strips_per_band = 4,
                                             .bands = 58,
                                             .scm_bytes = 256 * MiB}));
        const ArrayLayout& l = context.layout;
        const ArrayParameters& p = l.p;
        Random random(1);
        context.array = Uuid::random(random);
        context.epoch = 3;
        for (std::uint32_t i = 0; i < p.qlc_count; ++i) {
            auto opened = open_device("memory:segment_commit_" + std::to_string(i), p.qlc_bytes,
                                      Access::read_write, true);
            REQUIRE(opened);
            Geometry geometry = (*opened)->geometry();
            geometry.volatile_cache = volatile_cache;
            drives.push_back(std::make_unique<Drive>(std::move(*opened), geometry));
            drives[i]->guard_shape(strip, p.band_bytes);
            for (std::uint32_t band = 0; band < l.bands; ++band) {
                drives[i]->guard()->set_position(2 + band, 0);
            }
            context.qlc.push_back(drives[i].get());
        }
        bands = std::make_unique<BandTable>(context.layout);
        for (std::uint32_t i = 0; i < l.bands; ++i) bands->restore(BandId(i), BandRecord{});
    }
    BandId open_band(Stream stream = Stream::user) {
        const auto id = bands->begin_open(stream, context.epoch);
        REQUIRE(id);
        bands->opened(*id);
        return *id;
    }
    // With `blocks` random blocks.
    SegmentBuffer& fill(std::uint32_t blocks, std::uint64_t seed, std::uint32_t trims = 0) {
        memory.emplace_back(SegmentBuffer::bytes_needed(context.layout));
        segments.push_back(std::make_unique<SegmentBuffer>(context.layout, memory.back().span()));
        SegmentBuffer& s = *segments.back();
        s.reset();
        Random random(seed);
        for (std::uint32_t i = 0; i < blocks; ++i) {
            std::byte* data = s.slot_data(s.fill());
            for (std::size_t at = 0; at < kBlockBytes; at += 8) store(data + at, random.next());
            s.append({EntryKind::data, Lba(random.below(1000)), Version(seed + i),
                      crc32c({data, kBlockBytes})});
        }
        for (std::uint32_t i = 0; i < trims; ++i)
            s.append_tombstone({Lba(i), 1, Version(5000 + i)});
        s.finish_filling();
        return s;
    }
    void poll(Committer& committer) {
        committer.durable = [this](SegmentBuffer& s) { done.push_back(&s); };
        for (int i = 0; i < 50; ++i) {
            committer.poll();
            queue.poll();
        }
    }
    // What lies on the drives must be what the segment has in RAM.
    bool on_drives(SegmentBuffer& s) {
        const ArrayLayout& l = context.layout;
        const Buffer strip(l.p.strip_bytes);
        bool same = true;
        for (std::uint32_t role = 0; role < l.width(); ++role) {
            Io io;
            io.kind = IoKind::read;
            const auto [drive, offset] =
                context.locate(s.placement.band, s.placement.segment, role);
            io.device = drives[drive].get();
            io.offset = offset;
            io.bytes = strip.size();
            io.data = strip.data();
            REQUIRE(run(queue, io));
            same &= std::memcmp(strip.data(), s.strip(role), strip.size()) == 0;
        }
        return same;
    }
};

bool parity_right(const ArrayLayout& l, SegmentBuffer& s) {
    Buffer copy(SegmentBuffer::bytes_needed(l));
    std::memcpy(copy.data(), s.strip(0), copy.size());
    std::vector<std::byte*> strips;
    for (std::uint32_t role = 0; role < l.p.qlc_count; ++role) {
        strips.push_back(copy.data() + role * l.p.strip_bytes);
    }
    compute_parity(strips, l.p.strip_bytes);
    return std::memcmp(copy.data(), s.strip(0), copy.size()) == 0;
}

}  // namespace

TEST_CASE("segment buffer: blocks from the front and tombstones from the end") {
    Array array(2, 64 * KiB);
    SegmentBuffer& s = array.fill(0, 1);
    const std::uint32_t slots = array.context.layout.slots_per_segment;
    s.reset();
    CHECK(s.empty());
    CHECK(s.room() == slots);
    for (std::uint32_t i = 0; i < slots - 2; ++i) {
        std::memset(s.slot_data(i), static_cast<int>(i + 1), kBlockBytes);
        CHECK(s.append({EntryKind::data, Lba(i), Version(100 + i),
                        crc32c({s.slot_data(i), kBlockBytes})}) == i);
    }
    CHECK(s.room() == 2);
    // A block of them, and one more.
    for (std::uint32_t i = 0; i <= kTombstonesPerBlock; ++i) {
        REQUIRE(s.has_tombstone_room());
        s.append_tombstone({Lba(9000 + i), i + 1, Version(7 + i)});
        REQUIRE(s.room() == (i < kTombstonesPerBlock ? 1 : 0));
    }
    CHECK(s.tombstones() == kTombstonesPerBlock + 1);
    CHECK(s.tombstone_blocks() == 2);
    while (s.tombstones() < 2 * kTombstonesPerBlock) s.append_tombstone({Lba(1), 1, Version(9)});
    CHECK_FALSE(s.has_tombstone_room());
    CHECK(s.min_version() == Version(7));
    CHECK(s.max_version() == Version(7 + kTombstonesPerBlock));
    s.finish_filling();
    for (const std::uint32_t i : {0u, kTombstonesPerBlock - 1, kTombstonesPerBlock}) {
        CHECK(s.tombstone(i).lba == Lba(9000 + i));
        CHECK(s.tombstone(i).blocks == i + 1);
    }
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
        const Entry e = s.entry(slot);
        REQUIRE(e.kind == (slot < slots - 2 ? EntryKind::data : EntryKind::tombstones));
        REQUIRE(e.crc == crc32c({s.slot_data(slot), kBlockBytes}));
    }
    s.reset();
    CHECK(s.empty());
}

TEST_CASE("segment buffer: what stays empty is zeroes and says so") {
    Array array(2, 64 * KiB);
    const SegmentBuffer& s = array.fill(3, 1, 1);
    const std::uint32_t slots = array.context.layout.slots_per_segment;
    CHECK(s.room() == slots - 4);
    for (std::uint32_t slot = 3; slot + 1 < slots; ++slot) {
        REQUIRE(s.entry(slot).kind == EntryKind::empty);
        REQUIRE(s.entry(slot).crc == zero_block_crc32c());
        REQUIRE(crc32c({s.slot_data(slot), kBlockBytes}) == zero_block_crc32c());
    }
    CHECK(s.entry(slots - 1).kind == EntryKind::tombstones);
}

TEST_CASE("committer: strips lie where the layout says, with header and parity") {
    const auto [k, strip] = GENERATE(table<std::uint32_t, std::uint64_t>(
        {{2, 64 * KiB}, {3, 128 * KiB}, {8, 128 * KiB}, {16, 128 * KiB}}));
    Array array(k, strip);
    const ArrayLayout& l = array.context.layout;
    Committer committer(array.context, *array.bands, Stream::user, 5, array.queue, array.counters);
    const BandId band = array.open_band();
    for (std::uint32_t i = 0; i < 4; ++i) {
        committer.commit(array.fill(i == 2 ? 7 : l.slots_per_segment, 100 * (i + 1), i == 2));
    }
    CHECK(array.done.empty());
    array.poll(committer);
    REQUIRE(array.done.size() == 4);
    CHECK(committer.idle());
    for (std::uint32_t i = 0; i < 4; ++i) {
        SegmentBuffer& s = *array.segments[i];
        CHECK(s.placement.band == band);
        CHECK(s.placement.segment == i);
        CHECK(array.on_drives(s));
        CHECK(parity_right(l, s));
        CHECK(s.header().valid(array.context.array, band, i));
        const SegmentHeaderFixed& f = s.header().fixed();
        CHECK(f.band_sequence == array.bands->sequence_of(band));
        CHECK(f.epoch == 3);
        CHECK(f.frontier <= i);
        CHECK(f.stream == 0);
        CHECK(f.shard == 5);
        CHECK(f.min_version == 100 * (i + 1));
        CHECK(f.max_version == (i == 2 ? 5000 : 100 * (i + 1) + l.slots_per_segment - 1));
        const std::uint64_t header = l.header_blocks * kBlockBytes;
        CHECK(f.p_crc == crc32c({s.strip(k) + header, strip - header}));
        CHECK(f.q_crc == crc32c({s.strip(k + 1) + header, strip - header}));
    }
    const std::uint64_t blocks = 3 * l.slots_per_segment + 7;
    CHECK(array.counters.get(Counter::qlc_data_bytes) == blocks * kBlockBytes);
    CHECK(array.counters.get(Counter::qlc_gc_bytes) == 0);
    CHECK(array.counters.get(Counter::qlc_parity_bytes) == 4 * 2 * strip);
    const std::uint64_t all = array.counters.get(Counter::qlc_data_bytes) +
                              array.counters.get(Counter::qlc_header_bytes) +
                              array.counters.get(Counter::qlc_padding_bytes);
    CHECK(all == 4 * l.segment_bytes);
}

// What it says is durable must be so before it is there: beyond that recovery takes damage for
// torn.
TEST_CASE("committer: a header names the segments before it that are durable, and no more") {
    Array array(2, 64 * KiB, true);
    Committer committer(array.context, *array.bands, Stream::user, 0, array.queue, array.counters);
    array.open_band();
    for (std::uint64_t i = 0; i < 2; ++i) committer.commit(array.fill(5, 10 * i));
    array.poll(committer);  // both at once
    committer.commit(array.fill(5, 20));
    array.poll(committer);
    REQUIRE(array.done.size() == 3);
    CHECK(array.segments[0]->header().fixed().frontier == 0);
    CHECK(array.segments[1]->header().fixed().frontier == 0);
    CHECK(array.segments[2]->header().fixed().frontier == 2);
}

TEST_CASE("committer: waits for a band, and goes on in the next one") {
    Array array(2, 64 * KiB);
    Committer committer(array.context, *array.bands, Stream::user, 0, array.queue, array.counters);
    for (std::uint64_t i = 0; i < 6; ++i) committer.commit(array.fill(5, 10 * i));
    array.poll(committer);
    CHECK(array.done.empty());
    const BandId first = array.open_band();
    array.poll(committer);
    CHECK(array.done.size() == 4);
    CHECK_FALSE(committer.idle());
    const BandId second = array.open_band();
    array.poll(committer);
    REQUIRE(array.done.size() == 6);
    CHECK(array.segments[3]->placement.band == first);
    CHECK(array.segments[4]->placement.band == second);
    for (auto& s : array.segments) CHECK(array.on_drives(*s));
}

TEST_CASE("committer: two of them share a band and write in its order") {
    Array array(3, 64 * KiB);
    Committer a(array.context, *array.bands, Stream::user, 0, array.queue, array.counters);
    Committer b(array.context, *array.bands, Stream::user, 1, array.queue, array.counters);
    a.durable = b.durable = [&](SegmentBuffer& s) { array.done.push_back(&s); };
    array.open_band();
    for (std::uint64_t i = 0; i < 4; ++i) {
        (i % 2 == 0 ? a : b).commit(array.fill(5, 10 * i));
        // b runs ahead, but has to wait for its turn: the guards of the drives see to it.
        b.poll();
        if (i % 2 == 0) a.poll();
    }
    for (int i = 0; i < 20; ++i) {
        b.poll();
        a.poll();
        array.queue.poll();
    }
    REQUIRE(array.done.size() == 4);
    for (auto& s : array.segments) CHECK(array.on_drives(*s));
}

TEST_CASE("committer: drives with a cache are flushed before a segment counts") {
    Array array(2, 64 * KiB, true);
    Committer committer(array.context, *array.bands, Stream::gc, Committer::kNoShard, array.queue,
                        array.counters);
    array.open_band(Stream::gc);
    committer.commit(array.fill(4, 1));
    array.poll(committer);
    REQUIRE(array.done.size() == 1);
    for (const auto& drive : array.drives) CHECK(drive->flushes == 1);
    CHECK(array.segments[0]->header().fixed().stream == 1);
    CHECK(array.segments[0]->header().fixed().shard == 255);
    CHECK(array.counters.get(Counter::qlc_gc_bytes) == 4 * kBlockBytes);
}

TEST_CASE("committer: what could not be written or flushed goes to another band") {
    const bool flush = GENERATE(false, true);
    Array array(2, 64 * KiB, true);
    Committer committer(array.context, *array.bands, Stream::user, 0, array.queue, array.counters);
    const BandId first = array.open_band();
    committer.commit(array.fill(4, 1));
    array.poll(committer);
    REQUIRE(array.done.size() == 1);
    array.bands->published(array.segments[0]->placement, 0);
    (flush ? array.drives[1]->fail_flushes : array.drives[1]->fail_writes) = 1;
    committer.commit(array.fill(4, 10));
    committer.commit(array.fill(4, 20));
    array.poll(committer);
    CHECK(array.done.size() == 1);
    CHECK(array.bands->segments_of(first) == 1);
    const BandId second = array.open_band();
    array.poll(committer);
    REQUIRE(array.done.size() == 3);
    CHECK_FALSE(committer.failed());
    CHECK(array.counters.get(Counter::commit_retries) == 2);
    for (std::size_t i = 0; i < 3; ++i) {
        SegmentBuffer& s = *array.segments[i];
        CHECK(s.placement.band == (i == 0 ? first : second));
        CHECK(s.header().valid(array.context.array, s.placement.band, s.placement.segment));
        CHECK(array.on_drives(s));
        CHECK(parity_right(array.context.layout, s));
    }
}

TEST_CASE("committer: strips that another's failed flush may have dropped are written anew") {
    Array array(2, 64 * KiB, true);
    Committer committer(array.context, *array.bands, Stream::user, 0, array.queue, array.counters);
    committer.durable = [&](SegmentBuffer& s) { array.done.push_back(&s); };
    const BandId first = array.open_band();
    SegmentBuffer& s = array.fill(4, 1);
    committer.commit(s);
    while (s.step != SegmentBuffer::Step::writing) committer.poll();
    Io io;
    io.kind = IoKind::flush;
    io.device = array.drives[1].get();
    io.done = [](Io&) {};
    IoQueue other;
    array.drives[1]->hold_next = true;
    other.submit(io);
    const bool late = GENERATE(false, true);  // it is reported after its own flush has succeeded
    if (late) array.poll(committer);
    CHECK(array.done.empty());
    array.drives[1]->end_held(EIO);
    other.poll();
    array.poll(committer);
    CHECK(array.done.empty());
    const BandId second = array.open_band();
    array.poll(committer);
    REQUIRE(array.done.size() == 1);
    CHECK(s.placement.band == second);
    CHECK(array.bands->segments_of(first) == 0);
    CHECK(array.on_drives(s));
}

TEST_CASE("committer: a drive that always fails ends in failure, not in a loop") {
    Array array(2, 64 * KiB);
    Committer committer(array.context, *array.bands, Stream::user, 0, array.queue, array.counters);
    array.drives[0]->fail_writes = ~0u;
    committer.commit(array.fill(4, 1));
    for (int i = 0; i < 10 && !committer.failed(); ++i) {
        array.open_band();
        array.poll(committer);
    }
    CHECK(committer.failed());
    CHECK(array.done.empty());
}
