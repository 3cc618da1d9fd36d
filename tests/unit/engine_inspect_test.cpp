// SPDX-License-Identifier: Apache-2.0
// Looks at arrays that are not opened for it: open, held by somebody who can't be asked, crashed,
// uneven, short of drives.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "engine/health.h"
#include "folder.h"
#include "test_array.h"

using namespace qlcshape;
namespace fs = std::filesystem;

namespace {

Stats look(const Options& options) {
    const auto stats = Engine::inspect(options);
    if (!stats) FAIL(stats.error().message);
    return *stats;
}

}  // namespace

TEST_CASE("inspect: of an open array the process that has it open answers") {
    const TestArray a("inspect_open");
    CHECK_FALSE(look(a.options).live);
    a.use([&](Engine& e) {
        REQUIRE(e.create_volume("v", MiB));
        const Stats s = look(a.options);
        CHECK(s.live);
        CHECK(s.state == "open");
        CHECK(s.health == "ok");
        REQUIRE(s.volumes.size() == 1);
        CHECK(s.epoch == e.stats().epoch);
        CHECK(headline(s).empty());
    });
    const Stats closed = look(a.options);
    CHECK(closed.state == "clean");
    CHECK_FALSE(closed.live);
    CHECK(closed.volumes.size() == 1);
}

TEST_CASE(
    "inspect: where somebody has a drive who can't be asked it is open, as of the superblock") {
    const TestArray a("inspect_held");
    const auto held = open_device(a.options.devices[3].path, 0, Access::read_write, false);
    REQUIRE(held);
    const Stats s = look(a.options);
    CHECK(s.state == "open");
    CHECK_FALSE(s.live);
    CHECK(s.health == "ok");
}

TEST_CASE("inspect: what stays unused of larger drives") {
    TestArray a("inspect_uneven");
    for (const DeviceOptions& d : a.options.devices) forget_memory_device(d.path);
    a.options.devices[2].size_bytes += 8 * MiB;
    a.options.devices[5].size_bytes += 4 * MiB;
    REQUIRE(Engine::create(a.options));
    const Stats s = look(a.options);
    for (std::size_t i = 0; i < 6; ++i) {
        const std::uint64_t unused = i == 2 ? 8 * MiB : i == 5 ? 4 * MiB : 0;
        CHECK(s.devices[i].unused_bytes == unused);
    }
    CHECK(s.health == "ok");
}

TEST_CASE("inspect: short of drives") {
    TestArray a("inspect_short");
    const char* const expected[] = {"ok", "degraded", "unprotected", "failed"};
    for (std::size_t missing = 0; missing < 4; ++missing) {
        if (missing > 0) forget_memory_device(a.options.devices[missing - 1].path);
        const Stats s = look(a.options);
        INFO(headline(s));
        CHECK(s.health == expected[missing]);
        CHECK_FALSE(s.read_only);
        for (std::size_t i = 0; i < missing; ++i) {
            CHECK(s.devices[i].state == "missing");
            CHECK(headline(s).find("qlc drive " + std::to_string(i) + " is missing") !=
                  std::string::npos);
        }
        // What a look says and what an opening does are the same.
        CHECK(Engine::open(a.options).has_value() == (missing < 3));
    }
    for (const std::uint32_t copies : {1u, 2u}) {
        TestArray b("inspect_no_scm");
        for (const DeviceOptions& d : b.options.devices) forget_memory_device(d.path);
        b.options.pmt_copies = copies;
        REQUIRE(Engine::create(b.options));
        CHECK(look(b.options).pmt.copies == copies);
        forget_memory_device(b.options.devices[4].path);
        const Stats s = look(b.options);
        CHECK(s.health == (copies == 1 ? "failed" : "unprotected"));
        CHECK(headline(s).find("scm drive 0 is missing") != std::string::npos);
        CHECK(Engine::open(b.options).has_value() == (copies == 2));
    }
}

TEST_CASE("inspect: crashed, and a drive is missing as well") {
    const Folder folder;
    const TestArray a("inspect_crash", folder.file(""));
    Options copy = a.options;
    for (DeviceOptions& d : copy.devices) d.path += ".copy";
    a.use([&](Engine& e) {
        REQUIRE(e.create_volume("v", MiB));
        for (const DeviceOptions& d : a.options.devices) fs::copy_file(d.path, d.path + ".copy");
    });
    fs::remove(copy.devices[0].path);
    const Stats s = look(copy);
    CHECK(s.state == "crashed");
    CHECK(s.health == "degraded");
    CHECK(s.counters_incomplete);
    const std::string line = headline(s);
    CHECK(line.starts_with("DEGRADED: qlc drive 0 is missing"));
    CHECK(line.find("recovers it") != std::string::npos);
    CHECK(Engine::open(copy));
}

TEST_CASE("inspect: nothing that tells of an array is an error that names the drive") {
    const TestArray a("inspect_nothing");
    for (const DeviceOptions& d : a.options.devices) forget_memory_device(d.path);
    const auto stats = Engine::inspect(a.options);
    REQUIRE_FALSE(stats);
    CHECK(stats.error().message.find(a.options.devices[0].path) != std::string::npos);
}
