// SPDX-License-Identifier: Apache-2.0
// A segment's blocks enter the table one after the other, while others of the same are newer.
#include "shard_rig.h"

using namespace qlcshape;

TEST_CASE(
    "shard: a block that is twice in a segment reads as the newer, however far it is published") {
    ShardRig rig(5, 256 * KiB);
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    REQUIRE(slots > 256 + 40);  // more than are published at once
    constexpr std::uint64_t kBlock = 500;
    rig.hold_strips();
    rig.write_blocks(kBlock, 1, 1);
    rig.run();
    rig.write_blocks(0, 280, 1);
    rig.run();
    rig.write_blocks(kBlock, 1, 2);
    rig.run();
    // Nothing has asked for the page of the table so far: publication does, for 256 slots.
    rig.scm->hold = [&](const Io& io) { return rig.is_page_read(io); };
    rig.write_blocks(0, slots - 282, 1);
    rig.run();
    rig.release_strips();
    rig.run();
    REQUIRE(rig.scm->held() == 1);
    // The page comes, and the first of them are in the table. A read is taken before the others go
    // there.
    rig.scm->release();
    rig.queue.poll();
    const TestOp& read = rig.submit(OpKind::read, kBlock * kBlockBytes, kBlockBytes);
    rig.run();
    REQUIRE(read.good());
    CHECK(ShardRig::all(read, 2));
    CHECK(rig.reads(kBlock * kBlockBytes, kBlockBytes, 2));
}

TEST_CASE("shard: what was overwritten while its segment was committed stays overwritten") {
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    rig.hold_strips();
    rig.write_blocks(0, slots, 1);
    const TestOp& over = rig.write_blocks(5, 2, 2);
    rig.run();
    CHECK(over.good());
    REQUIRE(rig.strips_held() == 1);
    rig.release_strips();
    rig.run();
    CHECK(rig.reads(0, 5 * kBlockBytes, 1));
    CHECK(rig.reads(5 * kBlockBytes, 2 * kBlockBytes, 2));
    // And when its own segment is committed.
    rig.write_blocks(100, slots - 2, 3);
    rig.run();
    CHECK(rig.reads(5 * kBlockBytes, 2 * kBlockBytes, 2));
    CHECK(rig.reads(7 * kBlockBytes, (slots - 7) * kBlockBytes, 1));
}

TEST_CASE(
    "shard: what was trimmed while its segment was committed stays trimmed, and newer writes "
    "stay") {
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    rig.hold_strips();
    rig.write_blocks(0, slots, 1);
    rig.run();
    const TestOp& trim = rig.submit(OpKind::trim, 4 * kBlockBytes, 4 * kBlockBytes);
    const TestOp& over = rig.write_blocks(6, 1, 2);
    rig.run();
    CHECK(trim.good());  // durable in the TPS, and in the table before what it covers
    CHECK(over.good());
    REQUIRE(rig.strips_held() == 1);
    rig.release_strips();
    rig.run();
    CHECK(rig.reads(0, 4 * kBlockBytes, 1));
    CHECK(rig.reads(4 * kBlockBytes, 2 * kBlockBytes, 0));
    CHECK(rig.reads(6 * kBlockBytes, kBlockBytes, 2));
    CHECK(rig.reads(7 * kBlockBytes, kBlockBytes, 0));
    CHECK(rig.reads(8 * kBlockBytes, kBlockBytes, 1));
}

TEST_CASE("shard: a trim still stands while the table has it for any of its blocks") {
    ShardRig rig;
    rig.write_blocks(0, rig.array.layout.slots_per_segment, 1);
    rig.run();
    const TestOp& trim = rig.submit(OpKind::trim, 4 * kBlockBytes, 4 * kBlockBytes);
    rig.run();
    REQUIRE(trim.good());
    Mailbox<MapBatch> replies;
    MapBatch batch;
    batch.kind = MapKind::tombstone;
    batch.reply_to = &replies;
    batch.reply_queue = &rig.queue;
    const auto stands = [&] {
        MapItem item;
        item.lba = Lba(4);
        item.blocks = 4;
        item.expected = PmtEntry::make_unmapped(Unmapped::trimmed, trim.version);
        batch.items = {item};
        rig.shard->map_port().send(batch);
        rig.run();
        REQUIRE(replies.take_all() == &batch);
        CHECK_FALSE(batch.items[0].failed);
        return batch.items[0].matched;
    };
    CHECK(stands());
    // All but the second are written again, and a segment is filled so that the table has them.
    for (const std::uint64_t block : {4, 6, 7}) rig.write_blocks(block, 1, 2);
    rig.write_blocks(100, rig.array.layout.slots_per_segment, 2);
    rig.run();
    CHECK(stands());
    rig.write_blocks(5, 1, 2);
    rig.write_blocks(100, rig.array.layout.slots_per_segment, 2);
    rig.run();
    CHECK_FALSE(stands());
}

TEST_CASE("shard: it says that the table has what recovery found when that is so") {
    ShardRig rig;
    constexpr std::uint64_t kPages = 3;
    std::vector<Patch> patches;
    for (std::uint64_t page = 0; page < kPages; ++page) {
        patches.push_back({Lba(page * kPageEntries + 5),
                           PmtEntry::make_unmapped(Unmapped::poisoned, Version(9))});
    }
    rig.scm->hold = [&](const Io& io) { return rig.is_page_read(io); };
    rig.shard->set_patches(patches);
    rig.run();
    CHECK_FALSE(rig.shard->patched());
    rig.scm->release();
    rig.run();
    CHECK(rig.shard->patched());
    const std::uint64_t sweep = rig.shard->ask_sweep();
    rig.run();
    REQUIRE(rig.shard->sweeps_done() == sweep);
    std::vector<PmtEntry> entries(kPageEntries);
    std::uint32_t generation = 0;
    for (PageId page; page.value < kPages; ++page.value) {
        REQUIRE(rig.array.decode_page(rig.scm->at(rig.array.layout.pmt_page_offset(page)), page,
                                      entries.data(), generation));
        CHECK(entries[5] == patches[page.value].entry);
    }
}

TEST_CASE("shard: a record is written from a segment's memory, which stays as it is until then") {
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    rig.scm->hold = ShardRig::is_record;
    const TestOp& first = rig.write_blocks(0, 1, 1);
    rig.run();
    REQUIRE(rig.scm->held() == 1);
    rig.write_blocks(1, slots - 1, 2);
    for (std::uint64_t i = 0; i < 2 * kRamSegments; ++i) {
        rig.write_blocks(100, slots, 9);
        rig.run();
    }
    rig.scm->release();
    rig.run();
    CHECK(first.good());
    const std::byte* payload = rig.scm->at(rig.array.layout.tps_ring_offset(1, 0)) + kBlockBytes;
    CHECK(payload[0] == std::byte{1});
    CHECK(payload[kBlockBytes - 1] == std::byte{1});
    CHECK(rig.reads(100 * kBlockBytes, slots * kBlockBytes, 9));
}

// A snapshot lets recovery pass over segments that count as published.
TEST_CASE("shard: a segment counts as published when the table knows of its trims, too") {
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    const auto published = [&] {
        Snapshot snapshot;
        rig.bands->published_now(snapshot);
        for (const SnapshotBand& band : snapshot.open) {
            if (band.band == rig.bands->user_frontier().band.value) return band.published;
        }
        return 0u;
    };
    const std::uint64_t far = 3 * kPageEntries;
    rig.write_blocks(far, slots, 1);
    rig.run();
    rig.shard->ask_sweep();  // a page that is not dirty gives way to others
    rig.run();
    rig.scm->hold = ShardRig::is_record;
    const TestOp& trim = rig.submit(OpKind::trim, far * kBlockBytes, kBlockBytes);
    rig.run();
    rig.write_blocks(0, slots - 1, 2);
    rig.run();
    REQUIRE(rig.scm->held() == 1);
    // Other pages take the trimmed one's place in the cache.
    for (std::uint64_t page = 4; page < 4 + 2 * PageCache::kWays; ++page)
        CHECK(rig.reads(page * kPageEntries * kBlockBytes, kBlockBytes, 0));
    rig.scm->hold = [&](const Io& io) {
        return io.kind == IoKind::read && io.offset == rig.array.layout.pmt_page_offset(PageId(3));
    };
    rig.scm->release_one();
    rig.run();
    REQUIRE(rig.scm->held() == 1);
    CHECK_FALSE(trim.ended);
    CHECK(published() == 1);
    rig.scm->release();
    rig.run();
    CHECK(trim.good());
    CHECK(published() == 2);
    CHECK(rig.reads(far * kBlockBytes, kBlockBytes, 0));
    CHECK(rig.reads((far + 1) * kBlockBytes, (slots - 1) * kBlockBytes, 1));
}
