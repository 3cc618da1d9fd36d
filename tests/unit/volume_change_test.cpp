// SPDX-License-Identifier: Apache-2.0
// The rest of a deletion and of a change of size: in steps, and by the reclaimer's thread.
#include "engine/volume_change.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "core_array.h"
#include "engine/limits.h"
#include "engine/reclaimer.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kBytes = 4 * MiB;

struct Volumes : CoreArray {
    Buffer data{kBytes};
    std::uint32_t ended = 0;

    Volumes() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", kBytes));
        fill(7);
        REQUIRE(request(Op::write, data.data(), kBytes));
    }
    void fill(int value) { std::memset(data.data(), value, data.size()); }
    // In flight until poll().
    void submit(const std::string& name, Op op, std::uint64_t offset, std::uint64_t bytes) {
        auto volume = core->volume(name);
        REQUIRE(volume);
        REQUIRE(core->submit(**volume, {op, offset, bytes, data.data(), [this](Status status) {
                                            CHECK(status);
                                            ++ended;
                                        }}));
    }
    Core::Deletion begin_delete(const std::string& name = "v") {
        auto deletion = core->begin_delete(name);
        if (!deletion) FAIL(deletion.error().message);
        return *deletion;
    }
    Status finish(VolumeChange& change) {
        for (int i = 0; !change.step(); ++i) {
            REQUIRE(i < 1000000);
            poll();
        }
        return change.outcome();
    }
    bool holds(std::uint64_t from, std::uint64_t bytes, int value) {
        fill(value + 1);
        REQUIRE(request(Op::read, data.data(), bytes, from));
        return std::all_of(data.data(), data.data() + bytes,
                           [&](std::byte b) { return b == static_cast<std::byte>(value); });
    }
    void stays_as_it_is(VolumeChange& change) {
        const std::uint32_t before = core->requests_in_flight();
        for (int i = 0; i < 100; ++i) {
            CHECK_FALSE(change.step());
            CHECK_FALSE(change.in_flight());
        }
        CHECK(core->requests_in_flight() == before);
    }
};

}  // namespace

TEST_CASE("volume change: a deleted volume is trimmed when its requests have ended") {
    Volumes a;
    a.submit("v", Op::write, kBytes / 2, MiB);
    VolumeChange change(*a.core, a.begin_delete());
    a.stays_as_it_is(change);
    REQUIRE(a.finish(change));
    CHECK(a.ended == 1);
    CHECK(a.core->stats().space.promised_bytes == 0);
    REQUIRE(a.core->create_volume("v", kBytes));
    CHECK(a.holds(0, kBytes, 0));
    CHECK(change.step());  // again: nothing
}

TEST_CASE("volume change: what is cut off is trimmed when its requests have ended") {
    Volumes a;
    a.submit("v", Op::write, kBytes / 2, MiB);
    const auto smaller = a.core->begin_resize("v", MiB);
    REQUIRE(smaller);
    VolumeChange change(*a.core, *smaller);
    a.stays_as_it_is(change);
    a.submit("v", Op::write, 0, MiB);  // to what stays: nobody waits for it
    REQUIRE(a.finish(change));
    CHECK(a.ended >= 1);
    const auto larger = a.core->begin_resize("v", kBytes);
    REQUIRE(larger);
    VolumeChange back(*a.core, *larger);
    REQUIRE(a.finish(back));
    CHECK(a.holds(0, MiB, 7));
    CHECK(a.holds(MiB, kBytes - MiB, 0));
}

TEST_CASE("volume change: it tries again while the engine is at its limit of requests") {
    Volumes a;
    REQUIRE(a.core->create_volume("w", MiB));
    VolumeChange change(*a.core, a.begin_delete());
    for (std::uint32_t i = 0; i < Core::kMaxRequests; ++i) a.submit("w", Op::flush, 0, 0);
    a.stays_as_it_is(change);
    REQUIRE(a.finish(change));
    CHECK(a.core->stats().space.promised_bytes == MiB);
}

TEST_CASE("volume change: what can't be trimmed stays promised, and the next opening goes on") {
    Volumes a;
    SECTION("since the array is being closed") {
        const Core::Deletion deletion = a.begin_delete();
        CHECK_FALSE(a.core->advance_close());
        VolumeChange change(*a.core, deletion);
        const Status outcome = a.finish(change);
        REQUIRE_FALSE(outcome);
        CHECK(outcome.error().code == Errc::closed);
    }
    SECTION("since a drive fails") {
        VolumeChange change(*a.core, a.begin_delete());
        a.power.fails = [](const Io& io) { return io.point == PersistencePoint::tps_write; };
        CHECK_FALSE(a.finish(change));
        a.power.fails = nullptr;
    }
    SECTION("since it is not tried") { a.begin_delete(); }
    a.cut();
    REQUIRE(a.open());
    CHECK(a.core->volumes().empty());
    CHECK(a.core->stats().space.promised_bytes == kBytes);
    const auto unfinished = a.core->unfinished_deletions();
    REQUIRE(unfinished.size() == 1);
    VolumeChange change(*a.core, unfinished[0]);
    REQUIRE(a.finish(change));
    REQUIRE(a.core->create_volume("v", kBytes));
    CHECK(a.holds(0, kBytes, 0));
}

// The reclaimer's thread makes steps; this one moves the array.

namespace {

struct Reclaimed : Volumes {
    std::vector<std::string> told;
    Reclaimed() {
        options.log = [this](LogLevel, const std::string& text) { told.push_back(text); };
    }
    void poll_until_waited(Reclaimer& reclaimer, Status& outcome) {
        std::atomic<bool> over{false};
        std::thread waiter([&] {
            outcome = reclaimer.wait();
            over = true;
        });
        while (!over) poll();
        waiter.join();
    }
};

}  // namespace

TEST_CASE("reclaimer: gives back the space of several volumes") {
    Reclaimed a;
    REQUIRE(a.core->create_volume("w", MiB));
    a.submit("v", Op::write, 0, MiB);
    WaitingThreads threads(1);
    Reclaimer reclaimer(a.options, *a.core, threads);
    REQUIRE(reclaimer.wait());  // nothing was asked for
    reclaimer.add(a.begin_delete("v"));
    reclaimer.add(a.begin_delete("w"));
    Status outcome;
    a.poll_until_waited(reclaimer, outcome);
    REQUIRE(outcome);
    CHECK(a.ended == 1);
    CHECK(a.core->stats().space.promised_bytes == 0);
    REQUIRE(a.core->create_volume("v", kBytes));
    CHECK(a.holds(0, kBytes, 0));
}

TEST_CASE("reclaimer: who waits hears that a volume's space can't be given back") {
    Reclaimed a;
    a.power.fails = [](const Io& io) { return io.point == PersistencePoint::tps_write; };
    WaitingThreads threads(1);
    Reclaimer reclaimer(a.options, *a.core, threads);
    reclaimer.add(a.begin_delete("v"));
    Status outcome;
    a.poll_until_waited(reclaimer, outcome);
    CHECK_FALSE(outcome);
    CHECK_FALSE(reclaimer.wait());
    reclaimer.stop();
    REQUIRE(a.told.size() == 1);
    CHECK(a.told[0].find("volume v") != std::string::npos);
}

// Its thread ends although a request never does, and what is left is for the next opening.
TEST_CASE("reclaimer: stopping waits for no request of the volume") {
    Reclaimed a;
    a.submit("v", Op::write, 0, MiB);
    {
        WaitingThreads threads(1);
        Reclaimer reclaimer(a.options, *a.core, threads);
        reclaimer.add(a.begin_delete("v"));
        reclaimer.stop();
        CHECK(reclaimer.wait());
    }
    CHECK(a.core->requests_in_flight() == 1);
    CHECK(a.told.empty());
    while (a.ended == 0) a.poll();
    a.cut();
    REQUIRE(a.open());
    CHECK(a.core->unfinished_deletions().size() == 1);
}
