// SPDX-License-Identifier: Apache-2.0
// A QLC drive is drained while the array is open and written, and removed; another is put in its
// place.
#include "core_array.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kBlocks = 500;  // that are written
constexpr std::size_t kDrive = 1;

// Six QLC drives, and bands of four columns.
struct DrainArray : CoreArray {
    Bytes fresh = Bytes(Shape{}.drive_bytes);

    DrainArray() : CoreArray(1, Shape{.more_drives = 2}) {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
        write_blocks(0, kBlocks, 7);
    }
    ~DrainArray() {
        if (core) cut();
    }
    DeviceStatus drive(std::size_t number = kDrive) { return core->stats().devices[number]; }
    auto drain(bool stop = false) { return core->drain_drive(drive().uuid, stop); }
    auto remove() { return core->remove_drive(drive().uuid); }
    // Until no band has a column there. At no time one lacks any.
    void wait_until_empty(int value) {
        for (std::uint64_t i = 0; drive().bands != 0; ++i) {
            const Stats s = core->stats();
            REQUIRE(s.protection.one + s.protection.none + s.protection.lost == 0);
            REQUIRE(s.health == "ok");
            poll();
            if (i % 16 == 0) write_blocks(i / 16 % kBlocks, 1, value);
            REQUIRE(i < 100'000);
        }
    }
    bool named_by_any() {
        for (std::uint32_t i = 0; i < core->layout().bands; ++i) {
            if (core->array().columns->drives(BandId(i))[kDrive]) return true;
        }
        return false;
    }
};

std::string message_of(const auto& result) { return result ? "" : result.error().message; }

}  // namespace

TEST_CASE("drain: what a drive has moves to the others, and nothing lacks protection") {
    DrainArray a;
    REQUIRE(a.drive().bands != 0);
    REQUIRE(a.drain());
    CHECK(a.drive().state == "draining");
    CHECK(a.core->stats().rebuild.bands_left != 0);
    CHECK(message_of(a.remove()).find("can be removed") != std::string::npos);
    const bool opened_again = GENERATE(false, true);
    if (opened_again) {
        REQUIRE(a.close());
        REQUIRE(a.open());
        CHECK(a.drive().state == "draining");
    }
    a.wait_until_empty(7);
    CHECK(a.core->stats().rebuild.bands_left == 0);
    CHECK(a.reads(0, kBlocks, 7));
    CHECK(a.drive().checksum_errors == 0);

    REQUIRE(a.remove());
    CHECK(a.drive().state == "removed");
    CHECK(a.core->stats().health == "ok");
    CHECK(a.core->lost_drives().empty());
    CHECK(message_of(a.drain()).find("vacant") != std::string::npos);
    CHECK(message_of(a.core->fail_drive(a.drive().uuid)).find("vacant") != std::string::npos);
    REQUIRE(a.remove());  // once more
    const Bytes before = a.media[kDrive];
    a.write_blocks(0, kBlocks, 8);
    REQUIRE(a.close());
    CHECK(a.media[kDrive] == before);
    // It may be there or not, and two others may be missing.
    a.away = GENERATE(std::set<std::string>{}, std::set<std::string>{"qlc1"},
                      std::set<std::string>{"qlc1", "qlc2", "qlc4"});
    REQUIRE(a.open());
    CHECK(a.drive().state == "removed");
    CHECK(a.reads(0, kBlocks, 8));
    a.write_blocks(0, kBlocks, 9);
}

TEST_CASE("drain: a drive that is added in a vacant place gets its share") {
    DrainArray a;
    REQUIRE(a.drain());
    a.wait_until_empty(7);
    REQUIRE(a.remove());
    REQUIRE(a.core->begin_replace(a.drive().uuid,
                                  std::make_unique<CoreDrive>("new", a.fresh, a.power), false));
    while (!a.core->advance_replace()) a.poll();
    REQUIRE(a.core->finish_replace());
    CHECK(a.drive().state == "online");
    CHECK(a.drive().path == "new");
    const auto uneven = [&] {
        std::uint32_t most = 0, least = UINT32_MAX;
        for (std::size_t d = 0; d < 6; ++d) {
            most = std::max(most, a.drive(d).bands);
            least = std::min(least, a.drive(d).bands);
        }
        return most - least;
    };
    CHECK(uneven() > 3);
    for (int i = 0; i < 100'000 && uneven() > 3; ++i) a.poll();
    CHECK(uneven() <= 3);
    CHECK(a.reads(0, kBlocks, 7));
    CHECK(a.core->stats().errors.verify_failed == 0);
    for (int value = 10; value < 14; ++value) a.write_blocks(0, kBlocks, value);
    CHECK(a.reads(0, kBlocks, 13));
    // It may go out, and comes back, though the array file never named it.
    a.power.fails = [](const Io& io) { return io.device->path() == "new"; };
    a.write_blocks(0, kBlocks, 14);
    CHECK(a.drive().state == "out");
    std::vector<std::string> paths;
    for (int i = 0; i < 20 && paths.empty(); ++i) {
        a.poll();
        paths = a.core->paths_to_return();
    }
    CHECK(std::ranges::count(paths, "new") == 1);
}

TEST_CASE("drain: cut off anywhere, it goes on at the next opening") {
    const bool there = GENERATE(true, false);
    bool done = false;
    std::uint64_t cuts = 0;
    for (std::uint64_t cut = 1; !done; cut += 1 + cut / 8) {
        INFO("cut " << cut << (there ? " with" : " without") << " the drive");
        DrainArray a;
        std::uint64_t n = 0;
        a.power.cut_before = [&](const Io& io) { return io.kind != IoKind::read && ++n == cut; };
        if (a.drain()) {
            for (int i = 0; a.drive().bands != 0 && a.power.on && i < 100'000; ++i) a.poll();
            done = a.remove() && a.power.on;
        }
        a.power.cut_before = nullptr;
        a.cut();
        ++cuts;
        if (!there) a.away = {"qlc1"};
        REQUIRE(a.open());
        CHECK(a.reads(0, kBlocks, 7));
        const std::string state = a.drive().state;
        CHECK((done ? state == "removed" : state != "removed"));
        if (state == "draining") a.wait_until_empty(7);
        a.write_blocks(0, 50, 10);
        CHECK(a.reads(0, 50, 10));
        CHECK(a.reads(50, kBlocks - 50, 7));
    }
    CHECK(cuts > 20);
}

// Without the other one there is no room for what the first one has.
TEST_CASE("drain: another drive leaves meanwhile, or this one") {
    const std::string other = GENERATE("qlc1", "qlc3");
    const bool ends = other == "qlc3";
    DrainArray a;
    REQUIRE(a.drain());
    const int polls = GENERATE(0, 5, 20);
    for (int i = 0; i < polls; ++i) a.poll();
    a.power.fails = [&](const Io& io) { return io.device->path() == other; };
    for (std::uint64_t i = 0; i < kBlocks; ++i) a.write_blocks(i, 1, 9);
    REQUIRE_FALSE(a.core->failed());
    CHECK(a.reads(0, kBlocks, 9));
    a.power.fails = nullptr;
    REQUIRE(a.close());
    REQUIRE(a.open());
    CHECK(a.drive().state == (ends ? "online" : "draining"));
    if (ends) REQUIRE(a.drain());
    for (int i = 0; i < 100'000 && a.drive().bands != 0; ++i) a.poll();
    CHECK(a.drive().bands == 0);
    CHECK(a.reads(0, kBlocks, 9));
    REQUIRE(a.remove());
}

TEST_CASE("drain: what is stopped goes on no more, and the drive is used as the others") {
    DrainArray a;
    REQUIRE(a.drain());
    for (int i = 0; i < 400; ++i) a.poll();
    const std::uint32_t moved = a.drive().bands;
    REQUIRE(a.drain(true));
    CHECK(a.drive().state == "online");
    CHECK(message_of(a.remove()).find("drain it first") != std::string::npos);
    for (int i = 0; i < 1000; ++i) a.poll();
    CHECK(a.drive().bands == moved);
    CHECK(a.core->stats().rebuild.bands_left == 0);
    const bool opened_again = GENERATE(false, true);
    if (opened_again) {
        REQUIRE(a.close());
        REQUIRE(a.open());
    }
    for (int value = 8; value < 13; ++value) a.write_blocks(0, kBlocks, value);
    CHECK(a.drive().bands != 0);
    CHECK(a.reads(0, kBlocks, 12));
    const Stats s = a.core->stats();
    CHECK(s.protection.one + s.protection.none == 0);
}

// Six drives, of which three or two are left, with k = 2.
TEST_CASE("drain: where the array could not be written without the drive, it is drained no more") {
    DrainArray a;
    REQUIRE(a.drain());
    a.wait_until_empty(7);
    const bool closed = GENERATE(false, true);
    const std::set<std::string> gone{"qlc0", "qlc2"};
    if (closed) {
        REQUIRE(a.close());
        a.away = gone;
        REQUIRE(a.open());
    } else {
        a.power.fails = [&](const Io& io) { return gone.contains(io.device->path()); };
        a.write_blocks(0, kBlocks, 8);
    }
    REQUIRE_FALSE(a.core->failed());
    for (int value = 9; value < 20; ++value) a.write_blocks(0, kBlocks, value);
    REQUIRE_FALSE(a.core->failed());
    CHECK(a.drive().state == "online");
    CHECK(a.drive().bands != 0);
    CHECK(a.reads(0, kBlocks, 19));
    a.cut();
    a.power.fails = nullptr;
    REQUIRE(a.open());
    CHECK(a.drive().state == "online");
}

TEST_CASE("drain: what can't be done is refused, and changes nothing") {
    {
        CoreArray a;  // of as many drives as columns
        REQUIRE(a.open());
        const auto drained = a.core->drain_drive(a.options.devices[kDrive].path, false);
        REQUIRE_FALSE(drained);
        CHECK(drained.error().code == Errc::no_space);
        CHECK(a.core->stats().devices[kDrive].state == "online");
        a.cut();
    }
    DrainArray a;
    CHECK(a.core->drain_drive("qlc0", false));
    // One drive's room is spare.
    const auto second = a.drain();
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::no_space);
    const auto scm = a.core->drain_drive("scm6", false);
    REQUIRE_FALSE(scm);
    CHECK(scm.error().code == Errc::invalid_argument);
    CHECK_FALSE(a.core->remove_drive("scm6"));
    CHECK_FALSE(a.core->drain_drive("nothing", false));
    CHECK(message_of(a.remove()).find("drain it first") != std::string::npos);
    REQUIRE(a.core->fail_drive(a.drive().uuid));
    CHECK(message_of(a.drain()).find("is out") != std::string::npos);
    CHECK(message_of(a.remove()).find("come back") != std::string::npos);
    CHECK(a.reads(0, kBlocks, 7));
}
