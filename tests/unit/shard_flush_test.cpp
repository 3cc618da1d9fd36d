// SPDX-License-Identifier: Apache-2.0
// What a flush of a shard waits for.
#include "shard_rig.h"

using namespace qlcshape;

TEST_CASE("shard: a flush waits for the writes and trims before it, and for no later ones") {
    ShardRig rig;
    rig.write_blocks(8, 4, 1);
    rig.run();
    rig.scm->hold = ShardRig::is_record;
    const TestOp& write = rig.write_blocks(0, 1, 1);
    rig.run();
    const TestOp& trim = rig.submit(OpKind::trim, 8 * kBlockBytes, kBlockBytes);
    rig.run();
    const TestOp& first = rig.flush();
    rig.run();
    const TestOp& later = rig.write_blocks(1, 1, 1);
    rig.run();
    const TestOp& second = rig.flush();
    rig.run();
    REQUIRE(rig.scm->held() == 3);
    CHECK_FALSE(first.ended);
    rig.scm->release_one();
    rig.run();
    CHECK(write.good());
    CHECK_FALSE(first.ended);  // the trim is not durable
    rig.scm->release_one();
    rig.run();
    CHECK(trim.good());
    CHECK(first.good());
    CHECK_FALSE(later.ended);
    CHECK_FALSE(second.ended);
    rig.scm->release();
    rig.run();
    CHECK(later.good());
    CHECK(second.good());
}

TEST_CASE("shard: a flush waits for a write that bypasses the TPS") {
    ShardRig rig;
    rig.hold_strips();
    const TestOp& write = rig.write_blocks(0, rig.array.layout.slots_per_segment, 1);
    rig.run();
    const TestOp& flush = rig.flush();
    rig.run();
    CHECK(rig.records.empty());
    CHECK_FALSE(flush.ended);
    rig.release_strips();
    rig.run();
    CHECK(write.good());
    CHECK(flush.good());
}

TEST_CASE("shard: a flush with nothing before it ends") {
    ShardRig rig;
    const TestOp& flush = rig.flush();
    rig.run();
    CHECK(flush.good());
}
