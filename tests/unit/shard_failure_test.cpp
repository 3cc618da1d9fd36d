// SPDX-License-Identifier: Apache-2.0
// A shard after a drive of the TPS failed.
#include <algorithm>
#include <catch2/catch.hpp>

#include "core_array.h"
#include "shard_rig.h"

using namespace qlcshape;

TEST_CASE("shard: after a record that one mirror did not take, no write is acknowledged any more") {
    CoreArray array(1, {.pmt_copies = 1});
    array.open_and_write_sevens();
    const Device* failing = nullptr;
    array.power.fails = [&](const Io& io) {
        if (io.point != PersistencePoint::tps_write) return false;
        if (failing == nullptr) failing = io.device;
        return io.device == failing;  // one of the mirrors only
    };
    Bytes eights(256 * KiB, std::byte{8});
    const Status first = array.request(Op::write, eights.data());
    REQUIRE_FALSE(first);
    CHECK(first.error().code == Errc::io_error);
    CHECK(array.core->failed());
    // Which drive, what and why, in the request's error and in what status and log say.
    REQUIRE(failing != nullptr);
    for (const std::string& text : {first.error().message, array.core->stats().cause}) {
        CAPTURE(text);
        CHECK(text.find(failing->path() + ": write of ") != std::string::npos);
        CHECK(text.find("(errno 5)") != std::string::npos);
    }
    array.power.fails = nullptr;
    // Neither by way of the TPS nor as a whole segment; what is there can be read.
    CHECK_FALSE(array.request(Op::write, eights.data(), kBlockBytes, 4 * kBlockBytes));
    CHECK_FALSE(array.request(Op::write, eights.data(), eights.size(), 64 * kBlockBytes));
    CHECK_FALSE(array.request(Op::trim, nullptr));
    array.cut();
    REQUIRE(array.open());
    Bytes block(kBlockBytes);
    REQUIRE(array.request(Op::read, block.data()));
    CHECK((block[0] == std::byte{7} || block[0] == std::byte{8}));  // it was in flight
    CHECK(std::ranges::count(block, block[0]) == static_cast<std::ptrdiff_t>(kBlockBytes));
    array.cut();
}

TEST_CASE("shard: no write is acknowledged by a record behind one that failed") {
    ShardRig rig;
    rig.scm->hold = ShardRig::is_record;
    const TestOp& first = rig.write_blocks(0, 1, 1);
    rig.run();
    const TestOp& second = rig.write_blocks(1, 1, 1);
    rig.run();
    REQUIRE(rig.scm->held() == 2);
    int records = 0;
    rig.scm->fails = [&](const Io& io) { return ShardRig::is_record(io) && ++records == 1; };
    rig.scm->release();
    rig.run();
    for (const TestOp* op : {&first, &second}) {
        REQUIRE(op->ended);
        CHECK(op->failed);
    }
}

// The read has to come to an end first: it goes into memory of the shard's for the write.
TEST_CASE("shard: a write of part of a block does not fail while its old contents are read") {
    ShardRig rig;
    rig.write_blocks(0, rig.array.layout.slots_per_segment, 1);
    rig.run();
    for (auto& drive : rig.qlc) drive->hold = [](const Io& io) { return io.kind == IoKind::read; };
    const TestOp& op = rig.submit(OpKind::write, kSectorBytes, kSectorBytes, 2);
    rig.run();
    rig.gate->fail_for_table();
    rig.run();
    CHECK(rig.shard->failed());
    CHECK_FALSE(op.ended);
    rig.release_strips();
    rig.run();
    REQUIRE(op.ended);
    CHECK(op.failed);
}

TEST_CASE("shard: a write that failed is read until the array is closed, then it may be gone") {
    CoreArray array;
    array.open_and_write_sevens();
    Bytes block(kBlockBytes, std::byte{8});
    array.power.fails = [](const Io& io) { return io.point == PersistencePoint::tps_write; };
    REQUIRE_FALSE(array.request(Op::write, block.data()));
    array.power.fails = nullptr;
    block.assign(kBlockBytes, std::byte{0});
    REQUIRE(array.request(Op::read, block.data()));
    CHECK(block == Bytes(kBlockBytes, std::byte{8}));
    array.cut();
    REQUIRE(array.open());
    array.check_sevens();  // no drive had the new contents
    array.cut();
}

TEST_CASE("shard: a trim that failed is not seen until the next opening, which may show it") {
    CoreArray array(1, {.pmt_copies = 1});
    array.open_and_write_sevens();
    array.power.fails = [](const Io& io) {
        return io.point == PersistencePoint::tps_write && io.device->path() == "scm5";
    };
    REQUIRE_FALSE(array.request(Op::trim, nullptr));
    array.power.fails = nullptr;
    array.check_sevens();
    array.cut();
    REQUIRE(array.open());
    Bytes block(kBlockBytes, std::byte{1});
    REQUIRE(array.request(Op::read, block.data()));
    CHECK(block == Bytes(kBlockBytes));  // the other mirror had it
    array.cut();
}
