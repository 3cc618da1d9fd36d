// SPDX-License-Identifier: Apache-2.0
// More drives fail than parity covers, under load: every request ends, and so does closing.
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "core_array.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kMany = 3'000'000;  // polls, far more than anything here takes

// Writes blocks at random, some at once, until one fails. What fails first?
class Load {
  public:
    explicit Load(CoreArray& array) : array_(array), volume_(*array.core->volume("v")) {
        blocks_ = volume_->bytes() / kBlockBytes;
    }
    Status until_it_fails() {
        for (std::uint64_t i = 0; outcome_ && i < kMany; ++i) {
            while (in_flight_ < 64 && outcome_) submit();
            poll();
        }
        for (std::uint64_t i = 0; in_flight_ != 0; ++i) {
            poll();
            if (i == kMany) FAIL("a request never ends");
        }
        return outcome_;
    }
    // Any worker, as threads would.
    void poll() {
        array_.power.finish_one(array_.random);
        const auto& workers = array_.core->workers();
        workers[array_.random.below(workers.size())]->poll(array_.core->phase());
        array_.core->look_at_drives();
        array_.core->watch();
    }
    void submit() {
        ++in_flight_;
        Request r{Op::write, array_.random.below(blocks_) * kBlockBytes, kBlockBytes, block_.data(),
                  [this](Status status) {
                      --in_flight_;
                      if (!status) outcome_ = std::move(status);
                  }};
        REQUIRE(array_.core->submit(*volume_, std::move(r)));
    }

  private:
    CoreArray& array_;
    std::shared_ptr<VolumeState> volume_;
    std::uint64_t blocks_ = 0;
    Bytes block_ = Bytes(kBlockBytes, std::byte{9});
    std::uint32_t in_flight_ = 0;
    Status outcome_;
};

Status close(CoreArray& array) {
    for (std::uint64_t i = 0; !array.core->advance_close(); ++i) {
        array.power.finish_one(array.random);
        array.poll();
        if (i == kMany) FAIL("closing never ends");
    }
    return array.core->finish_close();
}

bool lost(const Io& io) { return io.device->path() < "qlc3"; }  // of three of the four

}  // namespace

TEST_CASE("drives gone: three under load end every request, and closing") {
    const std::uint32_t shards = GENERATE(1u, 2u, 3u);
    const std::uint64_t seed = GENERATE(range(1, 9));
    CAPTURE(shards, seed);
    CoreArray array(shards);
    array.random = Random(seed);
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", array.core->layout().writable_blocks * kBlockBytes));
    Bytes ones(MiB, std::byte{1});
    for (std::uint64_t at = 0; at < (*array.core->volume("v"))->bytes(); at += MiB)
        REQUIRE(array.request(Op::write, ones.data(), MiB, at));
    bool take_writes = false;
    SECTION("their files were cut to nothing: old strips are gone, new ones are taken") {
        take_writes = true;
        array.power.fails = [](const Io& io) { return lost(io) && io.kind == IoKind::read; };
    }
    SECTION("they take nothing any more") {
        array.power.fails = [](const Io& io) { return lost(io); };
    }
    SECTION("they take nothing but say of discards that they were done") {
        array.power.fails = [](const Io& io) { return lost(io) && io.kind != IoKind::discard; };
    }
    // Not those that block their caller: of superblocks.
    array.power.holds = [](const Io& io) {
        return io.point < PersistencePoint::qlc_superblock_discard;
    };
    Load load(array);
    const Status outcome = load.until_it_fails();
    REQUIRE_FALSE(outcome);
    CAPTURE(outcome.error().message);
    // The drives are the cause, not a lack of space, and a check of three drives of four can't run.
    CHECK(outcome.error().code == Errc::io_error);
    CHECK(
        (take_writes || outcome.error().message.find("reconnect the drives") != std::string::npos));
    CHECK(outcome.error().message.find("(qlc") != std::string::npos);
    CHECK(outcome.error().message.find("check`") == std::string::npos);
    CHECK_FALSE(close(array));
    array.core.reset();
}

TEST_CASE("drives gone: a read that needs three says that they fail, not that the block is lost") {
    CoreArray array;
    array.open_and_write_sevens();
    REQUIRE(array.close());
    REQUIRE(array.open());
    array.power.fails = lost;
    Bytes block(kBlockBytes);
    const Status read = array.request(Op::read, block.data());
    REQUIRE_FALSE(read);
    INFO(read.error().message);
    CHECK(read.error().code == Errc::io_error);
    CHECK(read.error().message.find("more drives fail than parity covers") != std::string::npos);
    CHECK(read.error().message.find("qlc2: read of") != std::string::npos);
    array.power.fails = nullptr;
    REQUIRE(array.request(Op::read, block.data()));
    CHECK(block[0] == std::byte{7});
    array.cut();
}
