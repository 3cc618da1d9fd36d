// SPDX-License-Identifier: Apache-2.0
// A drive that went out, or was missing, comes back while the array is open and written.
#include "replace_array.h"

using namespace qlcshape;

namespace {

constexpr std::size_t kQlc = 1, kScm = 4;
using Old = OpenArray::Old;

struct ReturnArray : OpenArray {
    ReturnArray(Old old, std::size_t drive) : OpenArray(old, drive) { power.fails = nullptr; }

    std::unique_ptr<Device> same() {
        return std::make_unique<CoreDrive>(path(), media[number], power);
    }
    Status begin() {
        if (!may_return()) return fail(Errc::busy, "not let go");
        return core->begin_return(same());
    }
    // Of what was written until then.
    void check_all(int value) {
        CHECK(reads(0, kBlocks, value));
        CHECK(core->stats().devices[number].checksum_errors == 0);
    }
    bool reads_again(int value) {
        REQUIRE(close());
        reopen();
        return reads(0, kBlocks, value);
    }
};

}  // namespace

TEST_CASE("return while open: a drive has what it had, and gets what it missed") {
    ReturnArray a(GENERATE(Old::fails, Old::missing), GENERATE(kQlc, kScm));
    const bool scm = a.number == kScm;
    const std::string uuid = a.uuid();
    CHECK(a.state() != "online");
    REQUIRE(a.begin());
    const Stats::Replacement shown = a.core->stats().replacement;
    CHECK(shown.role == (scm ? "scm" : "qlc"));
    CHECK(shown.from == a.path());
    CHECK(shown.to == a.path());
    std::uint64_t at = 0;
    double seen = 0;
    while (!a.core->advance_replace()) {
        CHECK(a.core->stats().replacement.percent >= seen);
        seen = a.core->stats().replacement.percent;
        a.poll();
        a.write_blocks(at++ % kBlocks, 1, 9);
    }
    REQUIRE(a.core->finish_replace());
    CHECK(a.uuid() == uuid);
    CHECK(a.state() == "online");
    CHECK(a.core->stats().replacement.role.empty());
    CHECK_FALSE(a.may_return());
    a.check_all(9);
    a.heal();
    CHECK(a.core->stats().rebuild.bands_left == 0);
    for (int value = 10; value < 20; ++value) a.write_blocks(0, kBlocks, value);
    a.check_all(19);
    a.heal();
    // It is as good as the others.
    const bool clean = GENERATE(true, false);
    if (clean)
        REQUIRE(a.close());
    else
        a.cut();
    a.away = scm ? std::set<std::string>{"scm5"} : std::set<std::string>{"qlc0", "qlc2"};
    REQUIRE(a.open());
    a.check_all(19);
    a.cut();
}

// Strips of bands that were freed while it was out lie where new ones come.
TEST_CASE("return while open: what no band names is erased before it is used") {
    ReturnArray a(Old::fails, kQlc);
    for (int value = 20; value < 40; ++value) a.write_blocks(0, kBlocks, value);
    std::uint32_t held = 0;
    const ArrayLayout& l = a.core->layout();
    const auto blank = [&](std::uint32_t slot) {
        const auto begin = a.media[kQlc].begin() + static_cast<std::ptrdiff_t>(l.slot_offset(slot));
        return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(l.p.band_bytes),
                           [](std::byte b) { return b == std::byte{0}; });
    };
    for (std::uint32_t slot = kSuperblockUnits; slot < l.drive_slots(); ++slot)
        held += blank(slot) ? 0 : 1;
    CHECK(held != 0);
    REQUIRE(a.begin());
    REQUIRE(a.finish());
    std::set<std::uint32_t> named;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        if (!a.core->bands().record_of(BandId(i)).has_columns()) continue;
        for (std::uint32_t c = 0; c < l.width(); ++c) {
            const Column place = a.core->array().columns->of(BandId(i), c);
            if (place.there() && place.member == kQlc) named.insert(place.slot);
        }
    }
    for (std::uint32_t slot = kSuperblockUnits; slot < l.drive_slots(); ++slot)
        CHECK((blank(slot) || named.contains(slot)));
    a.heal();
    CHECK(a.reads_again(39));
}

TEST_CASE("return while open: cut off anywhere, the array opens with it or without") {
    const Old old = GENERATE(Old::fails, Old::missing);
    const std::size_t number = GENERATE(kQlc, kScm);
    const bool there = GENERATE(true, false);
    bool done = false;
    std::uint64_t cuts = 0;
    for (std::uint64_t cut = first_transfer(); !done; cut += kNextTransfer) {
        INFO("cut " << cut << (there ? " with" : " without") << " the drive");
        ReturnArray a(old, number);
        REQUIRE(a.may_return());
        std::uint64_t n = 0;
        a.power.cut_before = [&](const Io& io) { return io.kind != IoKind::read && ++n == cut; };
        if (a.begin()) done = a.finish().has_value() && a.power.on;
        a.power.cut_before = nullptr;
        a.cut();
        ++cuts;
        a.away.clear();
        if (!there) a.away = {a.path()};
        REQUIRE(a.open());
        CHECK(a.state() == (there ? "online" : "missing"));
        CHECK(a.reads(0, kBlocks, 9));
        if (there) a.heal();
        a.write_blocks(0, 50, 10);
        CHECK(a.reads(0, 50, 10));
        CHECK(a.reads(50, kBlocks - 50, 9));
    }
    CHECK(cuts > 5);
}

TEST_CASE("return while open: not before the drive has ended what it was told") {
    const bool writes = GENERATE(true, false);
    ReturnArray a(Old::works, kQlc);
    REQUIRE(a.close());
    constexpr std::uint64_t kLimit = 1'000'000'000;
    a.io_clock = std::make_unique<IoClock>(a.clock, kLimit);
    REQUIRE(a.open());
    a.power.holds = [&](const Io& io) {
        const bool wanted = writes ? io.kind == IoKind::write : io.kind == IoKind::read;
        return io.device != nullptr && io.device->path() == a.path() && wanted;
    };
    std::uint64_t at = 0;
    a.also = [&] {
        a.clock.pass(kLimit / 100);
        a.core->watch();
    };
    while (a.state() == "online") {
        a.write_blocks(at % kBlocks, 1, 9);
        CHECK(a.reads(at++ % kBlocks, 1, 9));
    }
    a.power.holds = nullptr;
    REQUIRE_FALSE(a.power.held.empty());
    while (!a.power.held.empty()) {
        CHECK_FALSE(a.may_return(20));
        a.power.finish_one(a.random);
    }
    REQUIRE(a.may_return(20));
    REQUIRE(a.core->begin_return(a.same()));
    REQUIRE(a.finish());
    CHECK(a.state() == "online");
    a.heal();
    a.check_all(9);
    a.also = nullptr;
}

TEST_CASE("return while open: not before what is under way on it has ended") {
    ReturnArray a(Old::works, kQlc);
    a.power.holds = [&](const Io& io) {
        return a.power.held.empty() && io.kind == IoKind::read && io.device->path() == a.path();
    };
    Bytes data(kBlocks * kBlockBytes);
    bool read = false;
    Status outcome;
    auto volume = a.core->volume("v");
    REQUIRE(volume);
    REQUIRE(a.core->submit(**volume, {Op::read, 0, data.size(), data.data(), [&](Status status) {
                                          outcome = std::move(status);
                                          read = true;
                                      }}));
    for (int i = 0; i < 50; ++i) a.poll();
    REQUIRE(a.power.held.size() == 1);
    a.power.fails = [&](const Io& io) {
        return io.kind == IoKind::write && io.device->path() == a.path();
    };
    for (std::uint64_t at = 0; a.state() == "online"; ++at) a.write_blocks(at % kBlocks, 1, 9);
    a.power.fails = nullptr;
    CHECK_FALSE(a.may_return(20));
    CHECK_FALSE(read);
    a.power.holds = nullptr;
    a.power.finish_one(a.random);
    REQUIRE(a.may_return(20));
    for (int i = 0; i < 10; ++i) a.poll();
    CHECK(read);
    CHECK(outcome);
    REQUIRE(a.core->begin_return(a.same()));
    REQUIRE(a.finish());
    a.heal();
    a.check_all(9);
}

TEST_CASE("return while open: a drive that takes no writes stays out, and may be tried again") {
    const std::size_t number = GENERATE(kQlc, kScm);
    ReturnArray a(GENERATE(Old::fails, Old::missing), number);
    REQUIRE(a.may_return());
    // From any of its transfers on.
    const Stats::Protection without = a.core->stats().protection;
    std::uint64_t refused = 0;
    for (std::uint64_t from = first_transfer();; from += kNextTransfer) {
        INFO("from transfer " << from);
        std::uint64_t n = 0;
        a.power.fails = [&](const Io& io) {
            if (io.device->path() != a.path() || io.kind == IoKind::read || ++n < from)
                return false;
            const Stats s = a.core->stats();
            CHECK(s.devices[number].state != "online");
            CHECK((refused != 0 || s.protection.two == without.two));
            CHECK(a.core->lost_drives().size() == 1);
            return true;
        };
        const Status begun = a.begin();
        const bool came = begun && a.finish().has_value();
        if (came && n < from) break;
        ++refused;
        for (int i = 0; i < 50; ++i) a.poll();
        a.write_blocks(refused % kBlocks, 1, 9);
        REQUIRE_FALSE(a.core->failed());
        CHECK(a.state() != "online");
        a.power.fails = nullptr;
    }
    CHECK(refused > 3);
    a.power.fails = nullptr;
    CHECK(a.state() == "online");
    a.heal();
    a.check_all(9);
    CHECK(a.reads_again(9));
}

TEST_CASE("return while open: another drive leaves meanwhile") {
    ReturnArray a(Old::missing, kQlc);
    REQUIRE(a.begin());
    a.power.fails = [](const Io& io) { return io.device->path() == "qlc2"; };
    for (int i = 0; i < 200; ++i) {
        a.poll();
        a.write_blocks(static_cast<std::uint64_t>(i), 1, 9);
    }
    REQUIRE(a.finish());
    a.write_blocks(0, kBlocks, 12);
    CHECK(a.core->array().qlc[2]->out());
    CHECK(a.state() == "online");
    CHECK(a.reads(0, kBlocks, 12));
    CHECK(a.reads_again(12));
}

TEST_CASE("return while open: closing ends it") {
    ReturnArray a(GENERATE(Old::fails, Old::missing), GENERATE(kQlc, kScm));
    const int polls = GENERATE(0, 1, 2, 5);
    REQUIRE(a.begin());
    static_cast<void>(a.end_midway(polls));
    a.reopen();
    CHECK(a.reads(0, kBlocks, 9));
    a.heal();
}

TEST_CASE("return while open: another drive, or an older image of it, is refused") {
    ReturnArray a(Old::fails, kQlc);
    REQUIRE(a.may_return());
    const Bytes left = a.media[kQlc];
    const auto refused = [&](Errc code) {
        const Status begun = a.begin();
        REQUIRE_FALSE(begun);
        CHECK(begun.error().code == code);
        CHECK(begun.error().message.find("qlc1: ") == 0);
        CHECK(a.state() == "out");
    };
    SECTION("a member that is in") {
        a.media[kQlc] = a.media[0];
        refused(Errc::foreign_device);
    }
    SECTION("blank") {
        a.media[kQlc] = Bytes(left.size());
        refused(Errc::foreign_device);
    }
    a.media[kQlc] = left;
    REQUIRE(a.begin());
    REQUIRE(a.finish());
    a.heal();
    a.check_all(9);
}

TEST_CASE("return while open: an image from before it left is refused") {
    OpenArray a(Old::works, kQlc);
    const Bytes older = a.media[kQlc];
    for (int value = 10; value < 14; ++value) a.write_blocks(0, kBlocks, value);
    a.power.fails = [](const Io& io) { return io.device->path() == "qlc1"; };
    a.write_blocks(0, kBlocks, 14);
    REQUIRE(a.core->stats().devices[kQlc].state == "out");
    a.power.fails = nullptr;
    for (int i = 0; i < 10; ++i) {
        a.poll();
        static_cast<void>(a.core->paths_to_return());
    }
    a.media[kQlc] = older;
    const Status begun =
        a.core->begin_return(std::make_unique<CoreDrive>("qlc1", a.media[kQlc], a.power));
    REQUIRE_FALSE(begun);
    CHECK(begun.error().code == Errc::stale_device);
    CHECK(a.reads(0, kBlocks, 14));
}

TEST_CASE("return while open: one that is given up leaves nothing to the next one") {
    ReturnArray a(Old::missing, kQlc);
    a.power.fails = [](const Io& io) { return io.device->path() == "qlc2"; };
    a.write_blocks(0, kBlocks, 8);
    a.write_blocks(0, kBlocks, 9);
    REQUIRE(a.core->array().qlc[2]->out());
    a.power.fails = nullptr;
    for (int i = 0; i < 20 && a.core->paths_to_return().size() < 2; ++i) a.poll();
    REQUIRE(a.core->paths_to_return().size() == 2);
    const int polls = GENERATE(0, 1, 2, 3, 5);
    REQUIRE(a.core->begin_return(a.same()));
    for (int i = 0; i < polls && !a.core->advance_replace(); ++i) a.poll();
    a.power.fails = [](const Io& io) {
        return io.device->path() == "qlc1" && io.kind != IoKind::read;
    };
    static_cast<void>(a.finish());
    a.power.fails = nullptr;
    const auto other = [&] { return std::make_unique<CoreDrive>("qlc2", a.media[2], a.power); };
    REQUIRE(a.core->begin_return(other()));
    REQUIRE(a.finish());
    if (a.state() != "online") {
        REQUIRE(a.begin());
        REQUIRE(a.finish());
    }
    a.heal();
    a.check_all(9);
    a.cut();
    a.away = {"qlc0", "qlc3"};
    REQUIRE(a.open());
    a.check_all(9);
    a.cut();
}
