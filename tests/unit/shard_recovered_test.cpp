// SPDX-License-Identifier: Apache-2.0
// Blocks that a degraded recovery keeps in memory: they are newer than what the table leads to.
#include "shard_rig.h"

using namespace qlcshape;

namespace {

// Ones on the drives; in memory one block that is newer, one that was trimmed, one that is lost,
// and one that the table does not know.
constexpr std::uint64_t kNewer = 5, kTrimmed = 8, kLost = 11, kUnknown = 200;

struct RecoveredRig : ShardRig {
    RecoveredBlocks recovered;

    RecoveredRig() {
        write_blocks(0, array.layout.slots_per_segment, 1);
        run();
        for (const std::uint64_t block : {kNewer, kUnknown})
            recovered[block] = {EntryKind::data, std::vector<std::byte>(kBlockBytes, std::byte{2})};
        recovered[kTrimmed].kind = EntryKind::tombstones;
        recovered[kLost].kind = EntryKind::poisoned;
        shard->set_recovered(&recovered);
    }
};

}  // namespace

TEST_CASE("shard: a read finds what is in memory only, in a run of blocks and alone") {
    RecoveredRig rig;
    const TestOp& read = rig.submit(OpKind::read, 0, kLost * kBlockBytes);
    rig.run();
    REQUIRE(read.good());
    for (std::uint64_t block = 0; block < kLost; ++block) {
        CAPTURE(block);
        const int expected = block == kNewer ? 2 : block == kTrimmed ? 0 : 1;
        CHECK(read.data[block * kBlockBytes] == static_cast<std::byte>(expected));
        CHECK(rig.reads(block * kBlockBytes, kBlockBytes, expected));
    }
    CHECK(rig.reads(kUnknown * kBlockBytes, kBlockBytes, 2));
    const TestOp& lost = rig.submit(OpKind::read, 0, (kLost + 1) * kBlockBytes);
    rig.run();
    REQUIRE(lost.ended);
    CHECK(lost.failed);
    CHECK(lost.bad_lba == Lba(kLost));
}

TEST_CASE("shard: what is in memory only counts as mapped, and what was trimmed does not") {
    RecoveredRig rig;
    TestOp& op = rig.submit(OpKind::mapped, 0, 256 * kBlockBytes);
    op.buffer = Buffer(kBlockBytes);
    op.data = op.buffer.data();
    rig.run();
    REQUIRE(op.good());
    for (std::uint64_t block = 0; block < 256; ++block) {
        CAPTURE(block);
        const bool on_drives = block < rig.array.layout.slots_per_segment;
        const bool mapped = (on_drives && block != kTrimmed) || block == kUnknown;
        CHECK((op.data[block] != std::byte{0}) == mapped);
    }
}
