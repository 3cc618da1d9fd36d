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
