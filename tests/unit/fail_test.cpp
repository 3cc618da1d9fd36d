// SPDX-License-Identifier: Apache-2.0
// A drive that somebody takes out stays out, until another takes its place.
#include <fmt/format.h>

#include "replace_array.h"

using namespace qlcshape;

namespace {

constexpr std::size_t kQlc = 1, kScm = 4;
using Old = OpenArray::Old;

}  // namespace

TEST_CASE("fail: a drive is out from then on, and is not taken back") {
    OpenArray a(GENERATE(Old::works, Old::fails, Old::missing), GENERATE(kQlc, kScm));
    const bool by_uuid = GENERATE(false, true);
    const auto failed = a.core->fail_drive(by_uuid ? a.uuid() : a.path());
    REQUIRE(failed);
    CHECK(failed->index == (a.number == kQlc ? 1 : 0));
    CHECK(a.state() == "failed");
    CHECK(a.core->stats().devices[a.number].last_error.find("qlcshape fail") != std::string::npos);
    CHECK(a.core->stats().health != "ok");
    a.write_blocks(0, kBlocks, 10);
    CHECK(a.reads(0, kBlocks, 10));
    CHECK_FALSE(a.may_return(20));
    REQUIRE(a.core->fail_drive(a.uuid()));  // once more
    const Bytes before = a.media[a.number];
    const bool clean = GENERATE(true, false);
    if (clean)
        REQUIRE(a.close());
    else
        a.cut();
    a.reopen();
    CHECK(a.state() == "failed");
    CHECK_FALSE(a.may_return(20));
    CHECK(a.reads(0, kBlocks, 10));
    a.write_blocks(0, kBlocks, 11);
    REQUIRE(a.close());
    CHECK(a.media[a.number] == before);  // nobody wrote to it
    a.reopen();
    REQUIRE(a.begin());
    REQUIRE(a.finish());
    CHECK(a.state() == "online");
    a.heal();
    CHECK(a.reads_when_reopened(11));
    CHECK(a.state() == "online");
}

TEST_CASE(
    "fail: a drive that is asked for at its own path is refused, though nothing else is wrong") {
    OpenArray a(Old::works, GENERATE(kQlc, kScm));
    REQUIRE(a.core->fail_drive(a.path()));
    for (int i = 0; i < 20; ++i) {
        a.poll();
        static_cast<void>(a.core->paths_to_return());
    }
    const Status back =
        a.core->begin_return(std::make_unique<CoreDrive>(a.path(), a.media[a.number], a.power));
    REQUIRE_FALSE(back);
    CHECK(back.error().message.find("taken out") != std::string::npos);
}

TEST_CASE("fail: one without which something could not be read stays in") {
    OpenArray a(Old::missing, GENERATE(kQlc, kScm));
    const bool scm = a.number == kScm;
    const std::string other = scm ? "scm5" : "qlc2";
    if (!scm) {
        REQUIRE(a.core->fail_drive(other));
        a.write_blocks(0, kBlocks, 10);
    }
    const auto refused = a.core->fail_drive(scm ? other : "qlc3");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::missing_device);
    a.write_blocks(0, kBlocks, 11);
    CHECK(a.reads(0, kBlocks, 11));
    CHECK_FALSE(a.core->fail_drive("nothing"));
}

TEST_CASE("fail: with one that was taken out two more may not be missing") {
    OpenArray a(Old::works, kQlc);
    REQUIRE(a.core->fail_drive("qlc1"));
    REQUIRE(a.close());
    a.away = {"qlc0", "qlc2"};
    CHECK_FALSE(a.open());
    a.away = {"qlc0"};
    REQUIRE(a.open());
    CHECK(a.reads(0, kBlocks, 9));
}

TEST_CASE("fail: cut off at any transfer, the drive is in or out, and everything is there") {
    const std::size_t which = GENERATE(kQlc, kScm);
    for (std::uint64_t nth = first_transfer();; nth += kNextTransfer) {
        CAPTURE(nth);
        OpenArray a(Old::works, which);
        std::uint64_t seen = 0;
        a.power.cut_before = [&](const Io& io) { return io.kind != IoKind::read && ++seen == nth; };
        const auto failed = a.core->fail_drive(a.path());
        const bool cut = !a.power.on;
        a.cut();
        a.power.cut_before = nullptr;
        a.reopen();
        CHECK(a.reads(0, kBlocks, 9));
        if (failed && !cut) CHECK(a.state() == "failed");
        a.write_blocks(0, kBlocks, 10);
        REQUIRE(a.close());
        REQUIRE(a.open());
        CHECK(a.reads(0, kBlocks, 10));
        if (!cut) break;
    }
}

// With two that are gone the order of the array file does not say which is which.
TEST_CASE("fail: status knows the path of a drive that is there and stays out") {
    OpenArray a(Old::works, kQlc);
    REQUIRE(a.core->fail_drive("qlc1"));
    a.write_blocks(0, kBlocks, 10);
    REQUIRE(a.core->fail_drive("qlc2"));
    REQUIRE(a.close());
    std::swap(a.options.devices[0], a.options.devices[3]);
    std::swap(a.media[0], a.media[3]);
    REQUIRE(a.open());
    const Stats s = a.core->stats();
    for (const std::size_t i : {1, 2}) {
        CHECK(s.devices[i].state == "failed");
        CHECK(s.devices[i].path == fmt::format("qlc{}", i));
        CHECK(s.devices[i].last_error.starts_with(s.devices[i].path));
    }
}
