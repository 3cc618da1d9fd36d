// SPDX-License-Identifier: Apache-2.0
// An empty drive takes the place of a QLC drive; the power goes at any transfer of that.
#include "engine/replace.h"
#include "core_array.h"

using namespace qlcshape;

namespace {

constexpr std::size_t kReplaced = 1;

struct Replaced : CoreArray {
    Bytes fresh = Bytes(Shape{}.drive_bytes);

    Replaced() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
        write_blocks(0, 500, 7);
        REQUIRE(close());
    }
    // The power goes before that transfer that changes something; 0: never.
    Result<MemberRecord> replace(std::uint64_t cut_at, bool force = false) {
        power.on = true;
        Replacement r;
        away.insert("qlc1");
        r.devices = drives();
        away.clear();
        r.fresh = std::make_unique<CoreDrive>("new", fresh, power);
        r.force = force;
        power.cut_before = [cut_at, n = std::uint64_t{0}](const Io& io) mutable {
            return io.kind != IoKind::read && ++n == cut_at;
        };
        IoQueue queue;
        auto replaced = replace_drive(std::move(r), random, queue);
        power.cut_before = nullptr;
        power.on = true;
        return replaced;
    }
    void swap() { std::swap(media[kReplaced], fresh); }
    bool all_there() { return reads(0, 500, 7); }
    void heal() {
        for (int i = 0; i < 100'000; ++i) {
            poll();
            const Stats::Protection p = core->stats().protection;
            if (p.none == 0 && p.one == 0) return;
        }
        FAIL("what the old drive had is not written again");
    }
};

}  // namespace

TEST_CASE("replace: the new drive has what belongs on it once the array was open for a while") {
    Replaced a;
    const auto replaced = a.replace(0);
    REQUIRE(replaced);
    CHECK(replaced->index == kReplaced);
    const Status old = a.open();
    REQUIRE_FALSE(old);
    CHECK(old.error().message.find("qlc1: it is no longer a member") == 0);
    a.swap();
    REQUIRE(a.open());
    CHECK(a.all_there());
    a.heal();
    REQUIRE(a.close());
    a.options.read_only = true;
    for (const char* other : {"qlc0", "qlc2"}) {
        a.away = {other, "qlc3"};
        REQUIRE(a.open());
        CHECK(a.all_there());
        a.core.reset();
    }
}

TEST_CASE(
    "replace: cut off anywhere, the array opens with the old drive, without it, or with the new "
    "one") {
    Replaced a;
    const std::vector<Bytes> before = a.media;
    const bool old_is_lost = GENERATE(false, true);
    bool done = false;
    std::uint64_t with_old = 0, with_new = 0;
    for (std::uint64_t cut = first_transfer(); !done; cut += kNextTransfer) {
        INFO("cut " << cut);
        a.media = before;
        a.fresh.assign(a.fresh.size(), std::byte{0});
        const auto replaced = a.replace(cut);
        INFO((replaced ? "" : replaced.error().message));
        done = replaced.has_value();
        if (old_is_lost) a.swap();
        const Status opened = a.open();
        if (opened) {
            ++(old_is_lost ? with_new : with_old);
        } else {
            INFO(opened.error().message);
            REQUIRE(opened.error().message.find("qlc1: ") == 0);
            REQUIRE_FALSE((done && old_is_lost));
            const bool former =
                opened.error().message.find("no longer a member") != std::string::npos;
            CHECK((former || old_is_lost));  // the old one is taken back, unless the new one is in
            a.away = {"qlc1"};
            const Status without = a.open();
            a.away.clear();
            INFO((without ? "" : without.error().message));
            REQUIRE(without);
        }
        CHECK(a.all_there());
        REQUIRE(a.close());
        if (opened && old_is_lost) continue;
        // Once more.
        if (old_is_lost) a.swap();
        REQUIRE(a.replace(0, true));
        a.swap();
        REQUIRE(a.open());
        CHECK(a.all_there());
        a.cut();
    }
    CHECK((old_is_lost ? with_new : with_old) != 0);
}

TEST_CASE("replace: refused where something could not be read without the drive") {
    Replaced a;
    a.away = {"qlc0", "qlc2"};
    REQUIRE(a.open());
    a.away.clear();
    a.write_blocks(0, 500, 8);
    REQUIRE(a.close());
    const std::vector<Bytes> before = a.media;
    const auto refused = a.replace(0);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("can't be read without qlc drive 1") != std::string::npos);
    CHECK(a.media == before);
    REQUIRE(a.open());
    a.heal();
    REQUIRE(a.close());
    CHECK(a.replace(0));
}
