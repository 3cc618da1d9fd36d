// SPDX-License-Identifier: Apache-2.0
// Drives that are ill when an array is opened: it is opened without them.
#include <catch2/catch.hpp>
#include <set>

#include "core_array.h"

using namespace qlcshape;

namespace {

using Ill = bool (*)(const Io&);

bool at_all(const Io&) { return true; }
bool but_for_reads(const Io& io) { return io.kind != IoKind::read; }
bool in_flushes(const Io& io) { return io.kind == IoKind::flush; }
// The first flush succeeds, and what is written later does not.
bool in_writes(const Io& io) { return io.kind == IoKind::write; }

void fail(CoreArray& array, std::set<std::string> drives, Ill ill) {
    array.power.fails = [=](const Io& io) { return drives.contains(io.device->path()) && ill(io); };
}

void write_something(CoreArray& array) {
    if (array.core->volumes().empty()) REQUIRE(array.core->create_volume("v", MiB));
    array.write_blocks(0, 1, 7);
}

std::set<std::string> failed(const CoreArray& array) {
    std::set<std::string> paths;
    for (const DeviceStatus& d : array.core->stats().devices) {
        if (d.state != "failed") continue;
        CHECK_FALSE(d.last_error.empty());
        paths.insert(d.path);
    }
    return paths;
}

}  // namespace

TEST_CASE("opening: qlc drives that fail are left out, and taken back when they are well") {
    const Ill ill = GENERATE(at_all, but_for_reads, in_flushes, in_writes);
    const std::set<std::string> who =
        GENERATE(std::set<std::string>{"qlc1"}, std::set<std::string>{"qlc0", "qlc3"});
    const bool crashed = GENERATE(false, true);
    CoreArray array;
    std::string log;
    array.options.log = [&](LogLevel, const std::string& text) { log += text + "\n"; };
    REQUIRE(array.open());
    write_something(array);
    if (crashed)
        array.cut();
    else
        REQUIRE(array.close());
    fail(array, who, ill);
    const Status opened = array.open();
    INFO((opened ? "" : opened.error().message));
    REQUIRE(opened);
    CHECK(failed(array) == who);
    for (const std::string& path : who) CHECK(log.find(path + ": ") != std::string::npos);
    write_something(array);
    REQUIRE(array.close());
    array.power.fails = nullptr;
    REQUIRE(array.open());
    CHECK(failed(array).empty());
    CHECK(array.core->array().drives_in().count() == 4);
    REQUIRE(array.close());
}

TEST_CASE("opening: three qlc drives that fail, or both scm drives, are named") {
    const Ill ill = GENERATE(at_all, but_for_reads, in_flushes, in_writes);
    const std::set<std::string> who = GENERATE(std::set<std::string>{"qlc0", "qlc1", "qlc3"},
                                               std::set<std::string>{"scm4", "scm5"});
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.close());
    fail(array, who, ill);
    const Status opened = array.open();
    REQUIRE_FALSE(opened);
    for (const std::string& path : who) {
        INFO(opened.error().message);
        CHECK(opened.error().message.find(path + ": ") != std::string::npos);
    }
    array.power.fails = nullptr;
    REQUIRE(array.open());
    CHECK(failed(array).empty());
    REQUIRE(array.close());
}

TEST_CASE("opening: what the system refuses leaves no drive out") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.close());
    array.power.error = ENOSPC;
    fail(array, {"qlc1"}, but_for_reads);
    const Status opened = array.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().message.find("qlc1: ") != std::string::npos);
    array.power.fails = nullptr;
    REQUIRE(array.open());
    CHECK(array.core->stats().health == "ok");
}
