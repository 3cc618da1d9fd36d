// SPDX-License-Identifier: Apache-2.0
// What a shard puts into one record or one segment, and what it waits for before it does.
#include "shard_rig.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kFar = 1 * MiB;  // in the page, away from what fills segments
constexpr std::uint64_t kFarBlock = kFar / kBlockBytes;

// How many blocks of the write are in each record that has any of them.
std::vector<std::uint64_t> parts(const ShardRig& rig, const TestOp& op) {
    std::vector<std::uint64_t> counts;
    for (const auto& record : rig.records) {
        const auto n = std::ranges::count_if(record, [&](const Entry& e) {
            return e.kind == EntryKind::data && e.lba >= op.first &&
                   e.lba.value < op.first.value + op.blocks;
        });
        if (n != 0) counts.push_back(static_cast<std::uint64_t>(n));
    }
    return counts;
}

void check_atomic(std::uint64_t room, std::uint64_t sector, OpKind kind, bool data) {
    INFO(room << " slots are left in the open segment, at sector " << sector);
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    if (room != slots) rig.write_blocks(0, slots - room, 1);
    rig.run();
    rig.records.clear();
    rig.scm->hold = ShardRig::is_record;
    rig.hold_strips();
    TestOp& op = rig.submit(kind, kFar + sector * kSectorBytes, 64 * KiB, 2);
    if (!data) op.data = nullptr;
    rig.run();
    const bool fills = room == op.blocks;
    // All of it in one record, or in a segment that may be committed at once.
    CHECK(parts(rig, op) ==
          (fills ? std::vector<std::uint64_t>{} : std::vector<std::uint64_t>{op.blocks}));
    CHECK(rig.strips_held() == (fills ? 1 : 0));
    CHECK_FALSE(op.ended);
    rig.scm->release();
    rig.run();
    CHECK(op.ended != fills);
    CHECK(rig.strips_held() == (room <= op.blocks ? 1 : 0));
    rig.release_strips();
    rig.run();
    CHECK(op.good());
    CHECK(rig.reads(kFar + sector * kSectorBytes, 64 * KiB, data ? 2 : 0));
    CHECK(rig.reads(kFar - kBlockBytes, kBlockBytes + sector * kSectorBytes, 0));
}

}  // namespace

TEST_CASE("shard: a write of 64 KiB at any sector goes into one record, or into one segment") {
    for (const std::uint64_t sector : {0, 1, 4, 7}) {
        for (const std::uint64_t room : {1, 2, 15, 16, 17, 18, 31})
            check_atomic(room, sector, OpKind::write, true);
    }
}

TEST_CASE("shard: so do 64 KiB of zeroes") {
    for (const std::uint64_t room : {1, 16, 17}) check_atomic(room, 3, OpKind::write, false);
}

TEST_CASE("shard: a write of part of a block waits for old contents that bypass the TPS") {
    // The old contents are in the last block of a full segment: what begins, or ends, in them.
    const bool head = GENERATE(true, false);
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    rig.hold_strips();
    const TestOp& old = rig.write_blocks(kFarBlock, slots, 1);
    rig.run();
    REQUIRE(rig.strips_held() == 1);
    REQUIRE(rig.records.empty());
    const std::uint64_t shared = kFar + (head ? (slots - 1) * kBlockBytes : 0);
    const std::uint64_t begin = head ? shared + kSectorBytes : shared + kSectorBytes - 64 * KiB;
    const TestOp& op = rig.submit(OpKind::write, begin, 64 * KiB, 2);
    rig.run();
    CHECK(rig.records.empty());
    CHECK_FALSE(op.ended);
    rig.release_strips();
    rig.run();
    CHECK(old.good());
    CHECK(op.good());
    CHECK(parts(rig, op) == std::vector<std::uint64_t>{17});
    CHECK(rig.reads(begin, 64 * KiB, 2));
    CHECK(rig.reads(head ? shared : shared + kSectorBytes, head ? kSectorBytes : 7 * kSectorBytes,
                    1));
}

TEST_CASE("shard: a write of part of a block that was just trimmed finds zeroes there") {
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    rig.write_blocks(kFarBlock, slots, 1);
    rig.run();
    const TestOp& trim = rig.submit(OpKind::trim, kFar, 4 * kBlockBytes);
    const TestOp& op = rig.submit(OpKind::write, kFar + kSectorBytes, 3 * kBlockBytes, 2);
    rig.run();
    CHECK(trim.good());
    CHECK(op.good());
    CHECK(rig.reads(kFar, kSectorBytes, 0));
    CHECK(rig.reads(kFar + kSectorBytes, 3 * kBlockBytes, 2));
    CHECK(rig.reads(kFar + kSectorBytes + 3 * kBlockBytes, 7 * kSectorBytes, 0));
    CHECK(rig.reads(kFar + 4 * kBlockBytes, kBlockBytes, 1));
}

TEST_CASE("shard: where one end of a write can't be read, nothing of it is written") {
    const bool head = GENERATE(true, false);
    ShardRig rig;
    const std::uint64_t lost = kFarBlock + (head ? 0 : 16);
    RecoveredBlocks recovered;
    recovered[lost].kind = EntryKind::poisoned;
    rig.shard->set_recovered(&recovered);
    const TestOp& op = rig.submit(OpKind::write, kFar + kSectorBytes, 64 * KiB, 2);
    const TestOp& next = rig.write_blocks(0, 1, 3);
    rig.run();
    REQUIRE(op.ended);
    CHECK(op.failed);
    CHECK(op.error == Errc::media_error);
    CHECK(op.bad_lba == Lba(lost));
    CHECK(parts(rig, op).empty());
    CHECK(next.good());  // the shard goes on
    CHECK(rig.reads(kFar + kBlockBytes, 15 * kBlockBytes, 0));
}

TEST_CASE(
    "shard: a write of 64 KiB that finds no room for all of it waits, and none of it is taken") {
    ShardRig rig;
    const std::uint64_t slots = rig.array.layout.slots_per_segment;
    rig.hold_strips();
    for (std::uint64_t i = 1; i < kRamSegments; ++i) {
        rig.write_blocks(0, slots, 1);
        rig.run();
    }
    rig.write_blocks(0, slots - 5, 1);  // the last segment that memory has room for
    rig.run();
    const TestOp& op = rig.write_blocks(kFarBlock, 16, 2);
    rig.run();
    CHECK(parts(rig, op).empty());
    CHECK(rig.reads(kFar, 64 * KiB, 0));
    CHECK_FALSE(op.ended);
    rig.release_strips();
    rig.run();
    CHECK(op.good());
    CHECK(parts(rig, op) == std::vector<std::uint64_t>{16});
    CHECK(rig.reads(kFar, 64 * KiB, 2));
}

// All records are in flight when the segment is closed early.
TEST_CASE("shard: a write that is in no record ends when its own segment is durable") {
    ShardRig rig;
    rig.hold_strips();
    const TestOp& before = rig.write_blocks(0, rig.array.layout.slots_per_segment, 1);
    rig.run();
    rig.scm->hold = ShardRig::is_record;
    for (std::uint64_t i = 0; i < Tps::kRecords; ++i) {
        rig.write_blocks(kFarBlock + i, 1, 2);
        rig.run();
    }
    REQUIRE(rig.scm->held() == Tps::kRecords);
    const TestOp& op = rig.write_blocks(kFarBlock + 100, 1, 3);
    rig.run();
    rig.shard->begin(Phase::draining);
    rig.run();
    REQUIRE(rig.strips_held() == 2);
    for (auto& drive : rig.qlc) drive->release_one();
    rig.run();
    CHECK(before.good());
    CHECK_FALSE(op.ended);
    for (auto& drive : rig.qlc) drive->release_one();
    rig.scm->release();
    rig.run();
    CHECK(op.good());
    CHECK(parts(rig, op).empty());
}
