// SPDX-License-Identifier: Apache-2.0
// A pipeline and the publisher without a shard: their steps in any order.
#include <map>
#include <set>

#include "shard_rig.h"

using namespace qlcshape;

namespace {

// Whose memory is needed until the last transfer has ended.
struct Parts : ShardDrives {
    Buffer memory{kRamSegments * SegmentBuffer::bytes_needed(array.layout)};
    ShardContext context{shared(), 0, 1, queue, memory.span()};
    Tps tps{array, 0, queue, context.counters};
    Publisher publisher{context};
};

// What was written has its version and its number; a trim's number is 0.
struct PipelineRig : Parts {
    SegmentPipeline pipeline{context, Stream::user,
                             std::span<RamSegment, kRamSegments>(context.ram), tps, publisher};
    Random random;
    OpFifo writes;
    using Durable = std::set<std::pair<std::uint64_t, std::uint64_t>>;  // LBA, version
    Durable durable, durable_trims;
    std::map<std::uint64_t, std::uint32_t> strips;  // that are on drives, by their place
    std::map<std::uint64_t, int> newest;            // by LBA
    int acknowledged_early = 0;

    explicit PipelineRig(std::uint64_t seed) : random(seed) {
        tps.acked = [this](std::uint64_t ended, bool good) { pipeline.record_acked(ended, good); };
        scm->performed = [this](const Io& io) {
            if (is_record(io)) record_is_durable(io);
        };
        for (auto& drive : qlc) {
            drive->performed = [this](const Io& io) {
                if (is_strip(io) && ++strips[io.offset] == qlc.size()) segment_is_durable(io);
            };
        }
    }

    void record_is_durable(const Io& io) {
        const auto& header = io.parts.front();
        const TpsRecord record({static_cast<std::byte*>(header.iov_base), header.iov_len});
        for (std::uint32_t i = 0; i < record.fixed().entries; ++i) {
            const Entry e = record.entry(i);
            (e.kind == EntryKind::data ? durable : durable_trims)
                .emplace(e.lba.value, e.version.value);
        }
    }
    void segment_is_durable(const Io& io) {
        for (const RamSegment& s : context.ram) {
            if (!s.sealed || s.committed ||
                array.locate(s.placement.band, s.placement.segment, 0).offset != io.offset)
                continue;
            for (std::uint32_t slot = 0; slot < s.fill(); ++slot)
                durable.emplace(s.entry(slot).lba.value, s.entry(slot).version.value);
            for (std::uint32_t i = 0; i < s.tombstones(); ++i)
                durable_trims.emplace(s.tombstone(i).lba.value, s.tombstone(i).version.value);
        }
    }

    void submit(int number) {
        const bool trim = random.chance(1, 6);
        const std::uint64_t blocks =
            random.chance(1, 4) ? 1 + random.below(100) : 1 + random.below(16);
        const std::uint64_t first = random.below(3) * kPageEntries + random.below(200);
        TestOp& op = make(trim ? OpKind::trim : OpKind::write, first * kBlockBytes,
                          blocks * kBlockBytes, number);
        op.context = this;
        op.done = [](PageOp& done) {
            static_cast<TestOp&>(done).ended = true;
            static_cast<PipelineRig*>(done.context)->ended(done);
        };
        for (std::uint64_t i = 0; i < blocks; ++i) newest[first + i] = trim ? 0 : number;
        context.barrier.enter(op);
        writes.push_back(op);
    }
    void ended(const PageOp& op) {
        const bool trim = op.kind == OpKind::trim;
        for (std::uint64_t i = 0; i < (trim ? 1 : op.blocks); ++i) {
            acknowledged_early +=
                !(trim ? durable_trims : durable).contains({op.first.value + i, op.version.value});
        }
    }

    // One step, or something that drives or the keeper do.
    void step(std::uint64_t which) {
        const auto hold = [this](const Io&) { return random.chance(1, 2); };
        switch (which) {
            case 0:
                queue.poll();
                break;
            case 1:
                tps.poll();
                break;
            case 2:
                pipeline.poll_commits();
                break;
            case 3:
                pipeline.advance_durable();
                break;
            case 4:
                context.cache.poll();
                break;
            case 5:
                pipeline.publish();
                break;
            case 6:
                if (!writes.empty()) pipeline.append(writes);
                break;
            case 7:
                pipeline.journal();
                break;
            case 8:
                pipeline.start_commits();
                break;
            case 9:
                open_band();
                break;
            case 10:
                scm->release();
                scm->hold = hold;
                break;
            default: {
                auto& drive = qlc[random.below(qlc.size())];
                drive->release();
                drive->hold = hold;
            }
        }
    }
    static constexpr std::uint64_t kSteps = 12;

    void settle() {
        scm->release();
        release_strips();
        for (int i = 0; i < 100; ++i) {
            for (std::uint64_t which = 0; which <= 9; ++which) step(which);
            if (writes.empty()) pipeline.seal_rest();
        }
    }
    // What the table says of a block, in the cache or on its drive: the number that was written.
    int number_of(Lba lba) {
        PmtEntry entries[kPageEntries];
        std::uint32_t generation = 0;
        const PageId page = page_of(lba);
        if (const CachedPage* cached = context.cache.resident(page))
            std::copy_n(cached->entries, kPageEntries, entries);
        else
            REQUIRE(array.decode_page(scm->at(array.layout.pmt_page_offset(page)), page, entries,
                                      generation));
        const PmtEntry entry = entries[lba.value % kPageEntries];
        if (!entry.mapped()) return 0;
        const ArrayLayout& l = array.layout;
        std::byte block[kBlockBytes];
        const Pba pba = entry.pba(l);
        Io io = array.segment_io(IoKind::read, l.band_of(pba), l.segment_of(pba),
                                 l.slot_byte(l.slot_of(pba)), kBlockBytes, block);
        std::memcpy(block, static_cast<HeldDrive*>(io.device)->at(io.offset), kBlockBytes);
        return static_cast<int>(block[0]);
    }
};

}  // namespace

TEST_CASE("pipeline: whatever the order of its steps, an end means durable, and the newest wins") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        PipelineRig rig(seed);
        for (int number = 1; number <= 120; ++number) {
            rig.submit(number);
            for (std::uint64_t i = rig.random.below(60); i != 0; --i)
                rig.step(rig.random.below(PipelineRig::kSteps));
        }
        rig.settle();
        CHECK(std::ranges::all_of(rig.ops, [](const auto& op) { return op->good(); }));
        CHECK(rig.acknowledged_early == 0);
        CHECK(rig.pipeline.all_published());
        CHECK(rig.pipeline.rests());
        CHECK(rig.context.overlay.size() == 0);
        CHECK_FALSE(rig.context.barrier.writes_in_flight());
        for (const auto& [lba, number] : rig.newest) {
            CAPTURE(lba);
            CHECK(rig.number_of(Lba(lba)) == number);
        }
    }
}

TEST_CASE("publisher: a segment is in the table when its pages came and its trims were applied") {
    Parts rig;
    const ArrayLayout& l = rig.array.layout;
    rig.bands->opened(*rig.bands->begin_open(Stream::user, 3));
    RamSegment& s = rig.context.ram[1];
    s.open(1);
    s.placement = *rig.bands->place(Stream::user);
    constexpr std::uint64_t kFar = kPageEntries;  // the second page
    const auto append = [&](std::uint64_t lba, std::uint64_t version, std::uint32_t crc) {
        const std::uint32_t slot =
            s.append(Entry{EntryKind::data, Lba(lba), Version(version), crc});
        rig.context.overlay.set(Lba(lba), RamPlace{Version(version), s.index, slot});
    };
    append(7, 1, 0x11);
    append(kFar, 2, 0x22);
    append(7, 3, 0x33);
    append(8, 4, 0x44);
    // Newer, in the same slot of another segment.
    rig.context.overlay.set(Lba(8), RamPlace{Version(9), 2, 3});
    s.trims_unapplied = 1;
    TestOp& trim = rig.make(OpKind::trim, kFar * kBlockBytes, kBlockBytes);
    trim.version = Version(5);
    trim.trim_segment = &s;
    rig.context.barrier.enter(trim);

    const auto run = [&] {
        for (int i = 0; i < 10; ++i) {
            rig.queue.poll();
            rig.context.cache.poll();
            rig.publisher.enter(s);
        }
    };
    rig.scm->hold = [&](const Io& io) {
        return io.kind == IoKind::read && io.offset == l.pmt_page_offset(PageId(1));
    };
    run();
    CHECK_FALSE(Publisher::entered(s));  // the second page is still to come
    rig.publisher.apply_trim(trim);
    CHECK_FALSE(rig.publisher.trims_applied());
    run();
    CHECK_FALSE(trim.ended);
    rig.scm->release();
    run();
    CHECK(trim.good());
    CHECK(rig.publisher.trims_applied());
    CHECK(Publisher::entered(s));

    const auto entry = [&](std::uint64_t lba) {
        return rig.context.cache.resident(page_of(Lba(lba)))->entries[lba % kPageEntries];
    };
    const auto place = [&](std::uint32_t slot) {
        return l.pba(s.placement.band, s.placement.segment, slot).value;
    };
    CHECK(entry(7).pba(l).value == place(2));  // the later of two
    CHECK(entry(kFar) == PmtEntry::make_unmapped(Unmapped::trimmed, Version(5)));
    CHECK(entry(8).pba(l).value == place(3));
    CHECK(rig.context.overlay.find(Lba(7)) == nullptr);
    REQUIRE(rig.context.overlay.find(Lba(8)) != nullptr);  // still newest in RAM
    CHECK(rig.context.overlay.find(Lba(8))->version == Version(9));
}
