// SPDX-License-Identifier: Apache-2.0
// An SCM drive is replaced while the array is open and written.
#include "replace_array.h"

using namespace qlcshape;

namespace {

constexpr std::size_t kFirst = 4, kSecond = 5;  // the scm drives
using Old = OpenArray::Old;

// Beyond the blocks that all arrays here have, of other pages of the table.
void write_more(OpenArray& a, int value) {
    a.write_blocks(600, 3, value);
    a.trim_blocks(601, 1);
}
bool has_more(OpenArray& a, int value) {
    return a.reads(600, 1, value) && a.reads(601, 1, 0) && a.reads(602, 1, value);
}

// With the new drive as the only scm drive, after a power cut.
void check_alone(OpenArray& a, int value) {
    a.cut();
    a.swap();
    a.away = {a.options.devices[a.number == kFirst ? kSecond : kFirst].path};
    REQUIRE(a.open());
    CHECK(a.reads(0, kBlocks, value));
    CHECK(has_more(a, value));
    a.away.clear();
}

}  // namespace

TEST_CASE("replace scm while open: the new drive alone has all that was acknowledged") {
    OpenArray a(GENERATE(Old::works, Old::fails, Old::missing), GENERATE(kFirst, kSecond));
    write_more(a, 9);
    const bool written = GENERATE(false, true);
    REQUIRE(a.begin());
    for (std::uint64_t at = 0; !a.core->advance_replace(); ++at) {
        a.poll();
        if (written) a.write_blocks(at % kBlocks, 1, 9);
    }
    const auto drive = a.core->finish_replace();
    REQUIRE(drive);
    CHECK(drive->role == DeviceRole::scm);
    CHECK(drive->index == a.number - kFirst);
    const Stats now = a.core->stats();
    CHECK(now.devices[a.number].path == "new");
    CHECK(now.devices[a.number].state == "online");
    CHECK(a.reads(0, kBlocks, 9));
    SECTION("at once") { check_alone(a, 9); }
    SECTION("later") {
        a.power.fails = nullptr;
        for (int value = 10; value < 13; ++value) {
            a.write_blocks(0, kBlocks, value);
            write_more(a, value);
        }
        check_alone(a, 12);
    }
    SECTION("after a clean close, from the table that it has") {
        REQUIRE(a.close());
        a.swap();
        a.away = {a.options.devices[a.number == kFirst ? kSecond : kFirst].path};
        REQUIRE(a.open());
        CHECK(a.core->stats().recovery.kind == "clean");
        CHECK(a.reads(0, kBlocks, 9));
        CHECK(has_more(a, 9));
        CHECK(a.core->stats().devices[a.number].checksum_errors == 0);
    }
}

TEST_CASE("replace scm while open: cut off anywhere, nothing acknowledged is lost") {
    const Old old = GENERATE(Old::works, Old::missing);
    const bool with_old = GENERATE(true, false);
    bool done = false;
    std::uint64_t came = 0, stayed = 0;
    for (std::uint64_t cut = first_transfer(); !done; cut += kNextTransfer) {
        INFO("cut " << cut << " with the " << (with_old ? "old" : "new") << " drive");
        OpenArray a(old, kFirst);
        write_more(a, 9);
        std::uint64_t n = 0;
        a.power.cut_before = [&](const Io& io) { return io.kind != IoKind::read && ++n == cut; };
        if (a.begin()) done = a.finish().has_value() && a.power.on;
        a.power.cut_before = nullptr;
        a.cut();
        a.away.clear();
        if (!with_old) a.swap();
        const Status opened = a.open();
        const bool member =
            !opened && opened.error().message.find("it is no longer a member") != std::string::npos;
        ++(opened.has_value() == with_old ? stayed : came);
        if (!opened) {
            CHECK((member || !with_old));
            a.swap();
            REQUIRE(a.open());
        }
        CHECK(a.reads(0, kBlocks, 9));
        CHECK(has_more(a, 9));
        a.write_blocks(0, 10, 10);
        CHECK(a.reads(0, 10, 10));
    }
    CHECK(came != 0);
    CHECK(stayed != 0);
}

TEST_CASE("replace scm while open: a new drive that dies at any transfer holds nothing up") {
    const Old old = GENERATE(Old::works, Old::fails);
    bool done = false;
    std::uint64_t refused = 0;
    for (std::uint64_t from = first_transfer(); !done; from += kNextTransfer + from / 16) {
        INFO("from transfer " << from);
        OpenArray a(old, kFirst);
        write_more(a, 9);
        const std::string uuid = a.uuid();
        std::uint64_t n = 0;
        a.power.fails = [&, before = a.power.fails](const Io& io) {
            if (io.device->path() != "new") return before && before(io);
            return ++n >= from;
        };
        const Status begun = a.begin();
        bool replaced = false;
        if (begun) {
            // At once, since what the new drive does not take may wait for that.
            std::optional<Result<MemberRecord>> outcome;
            a.also = [&] {
                if (!outcome && a.core->advance_replace()) outcome = a.core->finish_replace();
            };
            for (std::uint64_t at = 0; !outcome; ++at) a.write_blocks(at % kBlocks, 1, 9);
            a.also = nullptr;
            replaced = outcome->has_value();
            if (!replaced) {
                ++refused;
                const bool out = a.core->stats().devices[kFirst].state != "online";
                CHECK(
                    outcome->error().message.find(
                        std::string("new: it takes no writes, and is not a member; scm drive 0 ") +
                        (out ? "is out; " : "stays in its place; ")) == 0);
            }
        }
        done = n < from;
        CHECK_FALSE(a.core->failed());
        CHECK((a.uuid() == uuid) != replaced);
        a.write_blocks(0, kBlocks, 10);
        write_more(a, 10);
        CHECK(a.reads(0, kBlocks, 10));
        const bool fails = replaced && !done;
        a.cut();
        a.power.fails = nullptr;
        if (replaced) a.swap();
        if (fails) a.away = {"scm4"};
        REQUIRE(a.open());
        CHECK(a.reads(0, kBlocks, 10));
        CHECK(has_more(a, 10));
    }
    CHECK(refused != 0);
}

TEST_CASE("replace scm while open: the other drive leaves no more while one is coming") {
    OpenArray a(Old::fails, kFirst);
    REQUIRE(a.begin());
    for (int i = 0; i < 5; ++i) a.poll();
    a.power.fails = [](const Io& io) { return io.device->path() == "scm5"; };
    Bytes data(kBlockBytes);
    CHECK_FALSE(a.request(Op::write, data.data(), data.size(), 0));
    const auto outcome = a.finish();
    REQUIRE_FALSE(outcome);
    a.cut();
    a.power.fails = nullptr;
    REQUIRE(a.open());
    CHECK(a.reads(1, kBlocks - 1, 9));
}

TEST_CASE("replace scm while open: closing ends it") {
    OpenArray a(GENERATE(Old::works, Old::fails), kFirst);
    const int polls = GENERATE(0, 1, 3, 10, 30);
    const std::string uuid = a.uuid();
    const auto replaced = a.close_midway(polls);
    a.power.fails = nullptr;
    if (replaced) a.swap();
    REQUIRE(a.open());
    CHECK((a.uuid() == uuid) != replaced.has_value());
    CHECK(a.reads(0, kBlocks, 9));
}

TEST_CASE("replace scm while open: with one copy of the table it is refused") {
    Shape shape;
    shape.pmt_copies = 1;
    CoreArray a(1, shape);
    REQUIRE(a.open());
    Power power;
    Bytes fresh(Shape{}.drive_bytes);
    const Status refused =
        a.core->begin_replace(a.core->stats().devices[kFirst].uuid,
                              std::make_unique<CoreDrive>("new", fresh, power), false);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("pmt_copies = 1") != std::string::npos);
    REQUIRE(a.close());
}

// A cache that holds less than the table, and every shard has pages.
TEST_CASE("replace scm while open: a table that is larger than its cache") {
    Shape shape;
    shape.drive_bytes = 512 * MiB;
    shape.band_bytes = 4 * MiB;
    CoreArray a(2, shape);
    a.options.pmt_cache_bytes = 2 * PageCache::kSetBytes;
    REQUIRE(a.open());
    REQUIRE(a.core->create_volume("v", 256 * MiB));
    for (std::uint64_t at = 0; at < 65536; at += 256) a.write_blocks(at, 1, 5);
    REQUIRE(a.close());  // the others have the bitmap
    REQUIRE(a.open());
    Bytes fresh(shape.drive_bytes);
    REQUIRE(a.core->begin_replace(a.core->stats().devices[kFirst].uuid,
                                  std::make_unique<CoreDrive>("new", fresh, a.power), false));
    for (std::uint64_t at = 0; !a.core->advance_replace(); at += 256) {
        a.poll();
        a.write_blocks(at % 65536, 1, 6);
    }
    REQUIRE(a.core->finish_replace());
    a.write_blocks(0, 1, 6);
    REQUIRE(a.close());
    std::swap(a.media[kFirst], fresh);
    a.away = {"scm5"};
    REQUIRE(a.open());
    CHECK(a.core->stats().recovery.kind == "clean");
    for (std::uint64_t at = 0; at < 65536; at += 256)
        CHECK((a.reads(at, 1, 5) || a.reads(at, 1, 6)));
    CHECK(a.core->stats().devices[kFirst].checksum_errors == 0);
    REQUIRE(a.close());
}

// A cut in that would leave copies of a page that differ, of which no recovery knows.
TEST_CASE("replace scm while open: pages that are on media are written to the new drive alone") {
    OpenArray a(Old::works, kFirst);
    write_more(a, 9);
    REQUIRE(a.close());
    REQUIRE(a.open());
    std::uint64_t to_new = 0, to_others = 0;
    a.power.cut_before = [&](const Io& io) {
        if (io.point == PersistencePoint::pmt_write_back)
            ++(io.device->path() == "new" ? to_new : to_others);
        return false;
    };
    REQUIRE(a.begin());
    REQUIRE(a.finish());
    CHECK(to_new != 0);
    CHECK(to_others == 0);
    a.power.cut_before = nullptr;
    check_alone(a, 9);
}

TEST_CASE("replace scm while open: a new drive that was cut off is taken again") {
    OpenArray a(Old::fails, GENERATE(std::size_t{1}, kFirst));
    const int polls = GENERATE(0, 3, 30);
    REQUIRE(a.begin());
    bool over = false;
    for (int i = 0; i < polls && !over; ++i) {
        a.poll();
        over = a.core->advance_replace();
    }
    if (GENERATE(false, true)) {
        static_cast<void>(a.core->advance_close());
        for (; !over; over = a.core->advance_replace()) a.poll();
        static_cast<void>(a.core->finish_replace());
        REQUIRE(a.close());
    } else {
        a.cut();
    }
    a.swap();
    if (a.open()) {  // it came through
        CHECK(over);
        return;
    }
    a.swap();
    a.away = {a.path()};
    REQUIRE(a.open());
    REQUIRE(a.begin());
    REQUIRE(a.finish());
    CHECK(a.state() == "online");
    CHECK(a.reads(0, kBlocks, 9));
}
