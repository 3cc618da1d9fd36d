// SPDX-License-Identifier: Apache-2.0
// A QLC drive is replaced while the array is open and written.
#include "replace_array.h"

using namespace qlcshape;

namespace {

constexpr std::size_t kOld = 1;
using Old = OpenArray::Old;

}  // namespace

TEST_CASE(
    "replace while open: the new drive has what belongs on it, and writing goes on meanwhile") {
    OpenArray a(GENERATE(Old::works, Old::fails, Old::missing), kOld);
    REQUIRE(a.begin());
    std::uint64_t at = 0;
    while (!a.core->advance_replace()) {
        a.poll();
        a.write_blocks(at++ % kBlocks, 1, 9);
    }
    const auto index = a.core->finish_replace();
    REQUIRE(index);
    CHECK(index->index == kOld);
    CHECK(a.reads(0, kBlocks, 9));
    const Stats now = a.core->stats();
    CHECK(now.devices[kOld].path == "new");
    CHECK(now.devices[kOld].state == "online");
    CHECK(now.devices[kOld].checksum_errors == 0);
    a.heal();
    a.write_blocks(0, 100, 10);
    REQUIRE(a.close());
    const Status old = [&] {
        a.away.clear();
        a.power.fails = nullptr;
        return a.open();
    }();
    REQUIRE_FALSE(old);
    CHECK(old.error().message.find("qlc1: it is no longer a member") == 0);
    a.swap();
    REQUIRE(a.open());
    CHECK(a.core->stats().recovery.kind == "clean");
    REQUIRE(a.close());
    a.options.read_only = true;
    for (const char* other : {"qlc0", "qlc2"}) {
        a.away = {other, "qlc3"};
        REQUIRE(a.open());
        CHECK(a.reads(0, 100, 10));
        CHECK(a.reads(100, kBlocks - 100, 9));
        a.core.reset();
    }
}

TEST_CASE(
    "replace while open: cut off anywhere, the array opens with the old drive or the new one") {
    const Old old = GENERATE(Old::works, Old::missing);
    bool done = false;
    std::uint64_t with_old = 0, with_new = 0;
    for (std::uint64_t cut = first_transfer(); !done; cut += kNextTransfer) {
        INFO("cut " << cut);
        OpenArray a(old, kOld);
        std::uint64_t n = 0;
        a.power.cut_before = [&](const Io& io) { return io.kind != IoKind::read && ++n == cut; };
        if (a.begin()) done = a.finish().has_value() && a.power.on;
        a.power.cut_before = nullptr;
        a.cut();
        a.away.clear();
        const Status with = a.open();
        ++(with ? with_old : with_new);
        if (!with) {
            CHECK(with.error().message.find("qlc1: it is no longer a member") == 0);
            a.swap();
            REQUIRE(a.open());
        }
        CHECK_FALSE((done && with));
        CHECK(a.reads(0, kBlocks, 9));
        a.heal();
        CHECK(a.reads(0, kBlocks, 9));
    }
    CHECK(with_old != 0);
    CHECK(with_new != 0);
}

TEST_CASE(
    "replace while open: a new drive that takes no writes is no member, and another one is tried") {
    OpenArray a(Old::fails, kOld);
    const std::string uuid = a.uuid();
    int flushes = 0;  // when it was erased, and when it was claimed
    a.power.fails = [&](const Io& io) {
        const bool fresh = io.device->path() == "new";
        flushes += fresh && io.kind == IoKind::flush ? 1 : 0;
        return (fresh && flushes > 1 && io.kind != IoKind::flush) || io.device->path() == "qlc1";
    };
    REQUIRE(a.begin());
    const auto refused = a.finish();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("new: it takes no writes, and is not a member") == 0);
    CHECK_FALSE(a.core->failed());
    CHECK(a.uuid() == uuid);
    a.write_blocks(0, kBlocks, 11);
    a.power.fails = [](const Io& io) { return io.device->path() == "qlc1"; };
    REQUIRE(a.begin(true));
    REQUIRE(a.finish());
    a.heal();
    CHECK(a.reads(0, kBlocks, 11));
    CHECK(a.reads_when_reopened(11));
}

TEST_CASE("replace while open: another drive leaves meanwhile") {
    OpenArray a(Old::missing, kOld);
    REQUIRE(a.begin());
    a.power.fails = [](const Io& io) { return io.device->path() == "qlc2"; };
    for (int i = 0; i < 200; ++i) {
        a.poll();
        a.write_blocks(static_cast<std::uint64_t>(i), 1, 9);
    }
    REQUIRE(a.finish());
    a.write_blocks(0, kBlocks, 12);
    CHECK(a.core->array().qlc[2]->out());
    for (int i = 0; i < 10'000 && a.core->stats().protection.none != 0; ++i) a.poll();
    CHECK(a.core->stats().protection.none == 0);  // three drives, one parity
    CHECK(a.reads(0, kBlocks, 12));
    a.power.fails = nullptr;
    CHECK(a.reads_when_reopened(12));
}

// A band that is being erased may have as many columns as there is data, and no more.
TEST_CASE("replace while open: bands that can't be erased on another drive stay what they are") {
    OpenArray a(Old::works, kOld);
    REQUIRE(a.close());
    a.away = {"qlc0", "qlc2"};
    REQUIRE(a.open());
    a.write_blocks(0, kBlocks, 13);
    REQUIRE(a.close());
    a.away.clear();
    // Twice: one that refuses more in a row goes out.
    bool refuses = false;
    int refused = 0;
    a.power.fails = [&](const Io& io) {
        if (!refuses || io.kind != IoKind::discard || io.device->path() != "qlc3") return false;
        const auto slot = static_cast<std::uint32_t>(io.offset / a.core->layout().p.band_bytes);
        const BandRecord record = a.core->bands().record_of(BandId(slot - kSuperblockUnits));
        return record.state == BandState::erasing && ++refused <= 2;
    };
    REQUIRE(a.open());
    refuses = true;
    a.heal();
    std::uint32_t erasing = 0;
    for (std::uint32_t i = 0; i < a.core->layout().bands; ++i)
        erasing += a.core->bands().record_of(BandId(i)).state == BandState::erasing ? 1 : 0;
    CHECK(erasing != 0);
    REQUIRE(a.begin());
    REQUIRE(a.finish());
    a.write_blocks(0, 100, 14);
    a.cut();
    a.swap();
    REQUIRE(a.open());
    CHECK(a.reads(0, 100, 14));
    CHECK(a.reads(100, kBlocks - 100, 13));
    a.heal();
}

TEST_CASE("replace while open: what is refused changes nothing") {
    OpenArray a(Old::works, kOld);
    const std::string uuid = a.uuid();
    const auto refused = [&](const Status& status, Errc code) {
        REQUIRE_FALSE(status);
        CHECK(status.error().code == code);
    };
    refused(a.begin_for("nobody"), Errc::not_found);
    a.fresh[MiB - 1] = std::byte{1};
    CHECK_FALSE(a.begin());
    a.fresh[MiB - 1] = std::byte{0};
    a.fresh.resize(10 * MiB);
    refused(a.begin(), Errc::invalid_argument);
    a.fresh.resize(Shape{}.drive_bytes);
    REQUIRE(a.begin());
    refused(a.begin(), Errc::busy);
    REQUIRE(a.finish());
    CHECK(a.uuid() != uuid);
    a.heal();
    CHECK(a.reads(0, kBlocks, 9));
}

TEST_CASE("replace while open: closing ends it") {
    OpenArray a(Old::works, kOld);
    const int polls = GENERATE(0, 1, 2, 5);
    const std::string uuid = a.uuid();
    const auto replaced = a.close_midway(polls);
    if (replaced) a.swap();
    REQUIRE(a.open());
    CHECK((a.uuid() == uuid) != replaced.has_value());
    CHECK(a.reads(0, kBlocks, 9));
}

TEST_CASE("replace while open: a drive of the array is not erased, whatever is forced") {
    OpenArray a(Old::missing, kOld);
    a.fresh = a.media[0];  // as one that has come back under another name
    if (GENERATE(true, false)) {
        // The power went when its first unit was to be used next. Its records are in the other.
        a.cut();
        REQUIRE(a.open());
        const auto unit = a.core->layout().qlc_superblock_unit_bytes;
        a.fresh = a.media[0];
        std::fill_n(a.fresh.begin(), unit, std::byte{0});
        REQUIRE(std::any_of(a.fresh.begin() + static_cast<std::ptrdiff_t>(unit),
                            a.fresh.begin() + static_cast<std::ptrdiff_t>(2 * unit),
                            [](std::byte b) { return b != std::byte{0}; }));
    }
    const Bytes before = a.fresh;
    const Status refused = a.begin(true);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::duplicate_device);
    CHECK(a.fresh == before);
}

TEST_CASE("replace while open: what is under way is shown, and how far it is") {
    const std::size_t number = GENERATE(std::size_t{1}, std::size_t{4});  // qlc1, scm4
    const bool scm = number == 4;
    OpenArray a(GENERATE(Old::works, Old::missing), number);
    CHECK(a.core->stats().replacement.role.empty());
    REQUIRE(a.begin());
    double seen = 0;
    while (!a.core->advance_replace()) {
        const Stats::Replacement now = a.core->stats().replacement;
        CHECK(now.role == (scm ? "scm" : "qlc"));
        CHECK(now.index == (scm ? 0 : 1));
        CHECK(now.from == a.options.devices[number].path);
        CHECK(now.to == "new");
        CHECK(now.percent >= seen);
        seen = now.percent;
        a.poll();
    }
    CHECK(seen == (scm ? 100 : 0));
    REQUIRE(a.finish());
    CHECK(a.core->stats().replacement.role.empty());
    const Stats::Protection less = a.core->stats().protection;
    std::uint32_t left = a.core->stats().rebuild.bands_left;
    CHECK(left == less.one + less.none);
    CHECK((left != 0) != scm);
    double percent = 0;
    for (int i = 0; i < 100'000 && left != 0; ++i) {
        a.poll();
        const Stats::Rebuild now = a.core->stats().rebuild;
        CHECK(now.bands_left <= left);
        left = now.bands_left;
        if (left == 0) break;
        CHECK(now.percent >= percent);
        CHECK((now.percent > 0) == (now.bytes_per_second > 0));
        percent = now.percent;
    }
    CHECK(left == 0);
    CHECK((percent > 0) != scm);
    // Another one begins at 0.
    Bytes fresh(Shape{}.drive_bytes);
    const std::string other = a.core->stats().devices[number].uuid;
    REQUIRE(
        a.core->begin_replace(other, std::make_unique<CoreDrive>("other", fresh, a.power), false));
    CHECK(a.core->stats().replacement.percent == 0);
    REQUIRE(a.finish());
    a.cut();
}
