// SPDX-License-Identifier: Apache-2.0
// A snapshot of a shard's pages: it stands when they are written, and says what is damaged.
#include "meta/snapshot_store.h"
#include "recovery/snapshotter.h"
#include "shard_rig.h"

using namespace qlcshape;

namespace {

struct SnapshotRig : ShardRig {
    Counters counters;
    BandKeeper keeper{array, *bands,
                      *gate, std::vector<std::uint64_t>(array.layout.band_table_pages),
                      queue, counters};
    BitmapWriter bits{array, *bitmap, std::vector<std::uint64_t>(array.layout.bitmap_pages)};
    Snapshotter snapshotter{Snapshotter::Parts{array,
                                               *bands,
                                               keeper,
                                               *gate,
                                               bits,
                                               next_version,
                                               {shard.get()},
                                               0,
                                               1,
                                               1000,
                                               [] { return LifetimeCounters{}; }},
                            queue, counters};

    void run_all() {
        for (int i = 0; i < 100; ++i) {
            poll();
            snapshotter.poll();
        }
    }
    std::optional<Snapshot> newest() { return load_snapshot(array, array.epoch, queue).snapshot; }
    std::byte* page(std::uint64_t number) {
        return scm->at(array.layout.pmt_page_offset(PageId(number)));
    }
};

}  // namespace

TEST_CASE("snapshotter: a snapshot is written when the pages that were dirty before are") {
    SnapshotRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    rig.write_blocks(0, slots, 1);
    rig.run();
    rig.scm->hold = [&](const Io& io) {
        return io.kind == IoKind::write && io.offset >= rig.array.layout.pmt_offset;
    };
    rig.snapshotter.ask();
    rig.run_all();
    CHECK(rig.scm->held() == 1);
    CHECK(rig.snapshotter.busy());
    CHECK_FALSE(rig.newest());
    rig.scm->release();
    rig.run_all();
    CHECK_FALSE(rig.snapshotter.busy());
    const auto snapshot = rig.newest();
    REQUIRE(snapshot);
    CHECK(snapshot->used_blocks == slots);
    CHECK_FALSE(snapshot->table_damaged);
}

// Closed cleanly, the array would open on the same table again: only a recovery looks at snapshots.
TEST_CASE("snapshotter: a page that reads found damaged ends writing, and the snapshot tells") {
    SnapshotRig rig;
    rig.page(3)[100] ^= std::byte{1};
    const TestOp& read = rig.submit(OpKind::read, 3 * kPageEntries * kBlockBytes, kBlockBytes);
    rig.run_all();
    REQUIRE(read.ended);
    CHECK(read.failed);
    CHECK(rig.shard->table_damaged());
    const auto snapshot = rig.newest();
    REQUIRE(snapshot);
    CHECK(snapshot->table_damaged);
    CHECK(rig.gate->failed());
    CHECK(rig.gate->ended() == SpaceGate::End::table);
}
