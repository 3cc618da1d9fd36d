// SPDX-License-Identifier: Apache-2.0
// What status says is wrong with an array, and what it means.
#include "engine/health.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "test_array.h"

using namespace qlcshape;

namespace {

Stats of_drives(int qlc, int scm) {
    Stats s;
    s.state = "open";
    s.data_strips = static_cast<std::uint32_t>(qlc - 2);
    for (int i = 0; i < qlc + scm; ++i) {
        DeviceStatus d;
        d.role = i < qlc ? "qlc" : "scm";
        d.index = static_cast<std::uint32_t>(i < qlc ? i : i - qlc);
        d.path = d.role + std::to_string(d.index) + ".img";
        d.state = "online";
        s.devices.push_back(d);
    }
    return s;
}

// Its health, and line 1.
std::string judged(Stats s) {
    assess_health(s);
    return s.health + "|" + headline(s);
}

Stats inspected(const TestArray& a) {
    const auto stats = Engine::inspect(a.options);
    if (!stats) FAIL(stats.error().message);
    return *stats;
}

}  // namespace

TEST_CASE("health: a drive is not missed whose bands are on the others") {
    Stats s = of_drives(9, 2);
    s.data_strips = 4;
    for (int i : {1, 3, 4}) s.devices[static_cast<std::size_t>(i)].state = "missing";
    for (DeviceStatus& d : s.devices) d.bands = d.state == "online" ? 20 : 0;
    CHECK(
        judged(s).starts_with("degraded|DEGRADED: qlc drive 1 is missing (qlc1.img); the other "
                              "drives have what it had; qlc drive 3 is missing"));
    s.protection.one = 7;
    CHECK(
        judged(s).starts_with("unprotected|UNPROTECTED: qlc drive 1 is missing (qlc1.img); no "
                              "band names it any more; qlc drive 3"));
    s.devices[1].bands = s.devices[3].bands = s.devices[4].bands = 20;
    CHECK(judged(s).starts_with("unprotected|"));  // no band has a column on all three
    s.protection.lost = 2;
    CHECK(judged(s).find("of 2 bands in use more than two strips are on drives that are not there: "
                         "reconnect") != std::string::npos);
    CHECK(judged(s).starts_with("failed|"));
    s.protection = {};
    s.devices[1].bands = s.devices[3].bands = s.devices[4].bands = 0;
    for (int i : {5, 6, 7}) s.devices[static_cast<std::size_t>(i)].state = "missing";
    CHECK(judged(s).starts_with("failed|"));
}

TEST_CASE("health: what is wrong and what it means") {
    CHECK(judged(of_drives(6, 2)) == "ok|");
    Stats s = of_drives(6, 2);
    s.devices[2].state = "missing";
    s.read_only = true;
    CHECK(judged(s) == "degraded|DEGRADED, read-only: qlc drive 2 is missing (qlc2.img)");
    s.devices[4].state = "missing";
    s.devices[4].path = "";
    CHECK(judged(s) ==
          "unprotected|UNPROTECTED, read-only: qlc drive 2 is missing (qlc2.img); qlc drive 4 is "
          "missing");
    s.devices[5].state = "missing";
    CHECK(judged(s).starts_with("failed|FAILED, read-only: "));

    s = of_drives(6, 2);
    s.devices[7].state = "failed";
    s.devices[7].last_error = "scm1.img: Permission denied";
    s.pmt.copies = 2;
    CHECK(judged(s) ==
          "unprotected|UNPROTECTED: scm drive 1 can't be used: scm1.img: Permission denied; the "
          "newest writes and the table are on one scm drive alone");
    s.devices[6].state = "missing";
    CHECK(judged(s).starts_with("failed|"));
    s.devices[6].state = "online";
    s.pmt.copies = 1;
    CHECK(judged(s) ==
          "failed|FAILED: scm drive 1 can't be used: scm1.img: Permission denied; the array opens "
          "only with all scm drives");

    s = of_drives(6, 2);
    s.devices[0].errors = 3;
    s.devices[0].last_error = "why";
    CHECK(judged(s) == "ok|");  // an incident: counted, and made good
    s.devices[0].failing = true;
    CHECK(judged(s) == "degraded|DEGRADED: qlc drive 0 fails: 3 transfers failed, the last: why");
    s.state = "failed";
    s.cause = "after a drive failed (why)";
    CHECK(judged(s) ==
          "failed|FAILED: writing has ended after a drive failed (why); qlc drive 0 "
          "fails: 3 transfers failed");  // what is said once is not said again
    s.cause = "after a drive failed (what)";
    s.remedy = "do this";
    s.devices[0].last_error = "what; do that";
    CHECK(judged(s) ==
          "failed|FAILED: writing has ended after a drive failed (what); do this; qlc drive 0 "
          "fails: 3 transfers failed");
    s.state = "open";
    s.devices[1] = s.devices[0];
    CHECK(judged(s).starts_with("unprotected|"));
    CHECK(remedy_of_loss(s).find("check") != std::string::npos);
    s.devices[2] = s.devices[0];
    CHECK(judged(s).starts_with("failed|"));
    CHECK(judged(s).ends_with("reconnect the drives, then close the array and open it again"));
    CHECK(remedy_of_loss(s).find("check") == std::string::npos);
}

TEST_CASE("health: a crash, bands out of use, segments that were not read") {
    Stats s = of_drives(6, 2);
    s.state = "crashed";
    CHECK(judged(s) == "ok|CRASHED: not closed cleanly; the next opening recovers it");
    s.file_systems = {{"qlc0.img", 5 * MiB, 5 * MiB}};
    CHECK(judged(s) == "ok|CRASHED: not closed cleanly; the next opening recovers it");
    s.file_systems.push_back({"scm0.img", 5 * MiB, 4 * MiB});  // it may fail for want of space
    CHECK(judged(s).starts_with(
        "ok|CRASHED: not closed cleanly; the next opening recovers it, if there is room: the drive "
        "files on the file system that holds scm0.img may grow by 5 MiB, and it has 4 MiB left"));
    s = of_drives(6, 2);
    s.bands.out_of_use = 2;
    CHECK(judged(s).starts_with("degraded|"));
    s = of_drives(6, 2);
    s.recovery.segments_unread = 1;
    CHECK(judged(s).starts_with("failed|"));
}

TEST_CASE("health: one scm drive mirrors nothing") {
    CHECK(judged(of_drives(6, 1))
              .starts_with("unprotected|UNPROTECTED: there is only one scm drive"));
}

TEST_CASE("status: of a degraded array, open and closed") {
    TestArray a("health_degraded");
    CHECK(inspected(a).health == "ok");
    const DeviceOptions away = a.options.devices[1];
    forget_memory_device(away.path);
    const auto degraded = [&](const Stats& s) {
        CHECK_FALSE(s.read_only);
        CHECK(s.health == "degraded");
        REQUIRE_FALSE(s.health_reasons.empty());
        CHECK(s.health_reasons[0] == "qlc drive 1 is missing (" + away.path + ")");
        CHECK(to_prometheus(s).find("qlcshape_array_health{array=\"health_degraded\",health="
                                    "\"degraded\"") != std::string::npos);
    };
    a.use([&](Engine& e) {
        CHECK(e.stats().state == "open");
        degraded(e.stats());
    });
    CHECK(inspected(a).state == "clean");
    degraded(inspected(a));
}

TEST_CASE("status: the drives that can be read tell of those that can't") {
    TestArray a("health_unread");
    const std::string damaged = a.options.devices[4].path;  // scm drive 0
    forget_memory_device(damaged);
    auto blank = open_device(damaged, 16 * MiB, Access::read_write, true);
    REQUIRE(blank);
    blank->reset();
    const Stats s = inspected(a);
    CHECK(s.array_name == "health_unread");
    CHECK(s.health == "failed");
    CHECK(s.devices[4].state == "failed");
    CHECK(s.devices[4].last_error.find(damaged) != std::string::npos);
    CHECK(headline(s).find("scm drive 0 can't be used: " + damaged) != std::string::npos);
    // Without any that tells of an array there is nothing to say.
    for (const DeviceOptions& d : a.options.devices) forget_memory_device(d.path);
    CHECK_FALSE(Engine::inspect(a.options));
}

TEST_CASE("status: after a crash nobody has it open, and counters lack what it cut off") {
    std::string folder = std::filesystem::temp_directory_path() / "qlcshape-health-XXXXXX";
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    {
        TestArray a("health_crash", folder + "/");
        Options copy = a.options;
        for (DeviceOptions& d : copy.devices) d.path += ".copy";
        a.use([&](Engine& e) {
            CHECK_FALSE(e.stats().counters_incomplete);
            REQUIRE(e.create_volume("v", MiB));
            for (const DeviceOptions& d : a.options.devices)
                std::filesystem::copy_file(d.path, d.path + ".copy");
        });
        CHECK(inspected(a).state == "clean");
        a.options = copy;
        const Stats crashed = inspected(a);
        CHECK(crashed.state == "crashed");
        CHECK(crashed.counters_incomplete);
        CHECK(crashed.health == "ok");
        CHECK(crashed.recovery.kind == "snapshot");
        a.use([](Engine& e) { CHECK(e.stats().counters_incomplete); });
    }
    std::filesystem::remove_all(folder);
}

TEST_CASE("status: closed cleanly is what all drives say, as for an opening") {
    std::string folder = std::filesystem::temp_directory_path() / "qlcshape-health-XXXXXX";
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    {
        const TestArray a("health_partly", folder + "/");
        const std::string& scm = a.options.devices[5].path;
        a.use([&](Engine&) { std::filesystem::copy_file(scm, scm + ".before"); });
        CHECK(inspected(a).state == "clean");
        std::filesystem::rename(scm + ".before", scm);
        CHECK(inspected(a).state == "crashed");
        CHECK(inspected(a).recovery.kind != "clean");
        a.use([](Engine& e) { CHECK(e.stats().recovery.kind != "clean"); });
    }
    std::filesystem::remove_all(folder);
}

namespace {

struct SetClock : Clock {
    std::uint64_t now = 0;
    std::uint64_t now_ns() override { return now; }
};

}  // namespace

TEST_CASE("clock: nothing passes where it goes back") {
    SetClock clock;
    clock.now = 10;
    CHECK(clock.elapsed_ns(4) == 6);
    CHECK(clock.elapsed_ns(11) == 0);
}
