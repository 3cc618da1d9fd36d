// SPDX-License-Identifier: Apache-2.0
// What counts as an event, and the command that is run for it.
#include "engine/events.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "folder.h"
#include "test_array.h"

using namespace qlcshape;

namespace {

using Names = std::vector<std::string>;

Names names_between(const Stats& before, const Stats& now) {
    Names names;
    for (const Event& e : events_between(before, now)) names.push_back(e.name);
    return names;
}

Stats two_drives() {
    Stats s;
    for (const char* const uuid : {"a", "b"}) {
        DeviceStatus& d = s.devices.emplace_back();
        d.uuid = uuid;
        d.path = std::string("/dev/") + uuid;
        d.role = "qlc";
        d.state = "online";
    }
    return s;
}

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

bool comes(const std::string& path, const std::string& words) {
    return becomes([&] { return text_of(path).find(words) != std::string::npos; });
}

}  // namespace

TEST_CASE("events: drives that go, come back and are replaced") {
    const Stats well = two_drives();
    CHECK(names_between(well, well).empty());
    CHECK(names_between({}, well).empty());  // the opening of an array that is well
    Stats lost = well;
    lost.devices[1].state = GENERATE("out", "missing", "failed");
    lost.devices[1].last_error = "it broke";
    CHECK(names_between(well, lost) == Names{"drive_lost"});
    CHECK(names_between({}, lost) == Names{"drive_lost"});
    CHECK(names_between(lost, lost).empty());
    CHECK(events_between(well, lost)[0].device == "/dev/b");
    CHECK(events_between(well, lost)[0].message.find("it broke") != std::string::npos);
    CHECK(names_between(lost, well) == Names{"drive_back"});
    Stats other = well;
    other.devices[1].uuid = "c";
    CHECK(names_between(lost, other) == Names{"drive_replaced"});
}

TEST_CASE("events: spares") {
    Stats well = two_drives();
    DeviceStatus& spare = well.devices.emplace_back();
    spare.path = "/dev/s";
    spare.role = spare.state = "spare";
    Stats lost = well;
    lost.devices[2].state = "failed";
    CHECK(names_between(well, lost) == Names{"spare_lost"});
    CHECK(names_between(lost, well).empty());
    Stats used = well;
    used.devices.pop_back();
    CHECK(names_between(well, used).empty());
}

TEST_CASE("events: what happens to data") {
    const Stats well = two_drives();
    Stats now = well;
    now.protection.one = 1;
    CHECK(names_between(well, now).empty());
    CHECK(names_between(now, well) == Names{"rebuild_done"});
    now = well;
    ++(GENERATE(false, true) ? now.errors.verify_failed : now.scrub.strips_wrong);
    CHECK(names_between(well, now) == Names{"damage_found"});
    now = well;
    ++now.errors.unreadable;
    CHECK(names_between(well, now) == Names{"data_unreadable"});
    now = well;
    now.state = "failed";
    CHECK(names_between(well, now) == Names{"writing_ended"});
    CHECK(names_between(now, now).empty());
}

TEST_CASE("events: the command gets them, each once") {
    const Folder folder;
    const std::string told = folder.file("told");
    TestArray a("events");
    a.options.on_event = "echo \"$QLCSHAPE_EVENT $QLCSHAPE_ARRAY $QLCSHAPE_DEVICE\" >>" + told;
    const std::string drive = a.options.devices[1].path;
    a.use([&](Engine& engine) {
        REQUIRE(engine.fail_device(drive));
        CHECK(comes(told, "drive_lost events " + drive + "\n"));
    });
    CHECK(text_of(told) == "drive_lost events " + drive + "\n");
    a.use([](Engine&) {});  // closing waits for what the opening tells
    CHECK(text_of(told) == "drive_lost events " + drive + "\ndrive_lost events " + drive + "\n");
}

TEST_CASE("events: a command that fails or hangs holds nothing up") {
    TestArray a("events_hang");
    std::mutex mutex;
    std::vector<std::string> lines;
    a.options.log = [&](LogLevel, const std::string& line) {
        const std::lock_guard lock(mutex);
        lines.push_back(line);
    };
    SECTION("fails") {
        a.options.on_event = "exit 3";
        a.use([&](Engine& engine) { REQUIRE(engine.fail_device(a.options.devices[1].path)); });
        CHECK(std::ranges::any_of(lines, [](const std::string& line) {
            return line.starts_with("on_event: drive_lost: the command failed");
        }));
    }
    SECTION("hangs") {
        a.options.on_event = "sleep 1000";
        a.use([&](Engine& engine) {
            REQUIRE(engine.fail_device(a.options.devices[1].path));
            std::this_thread::sleep_for(std::chrono::milliseconds(1500));
            REQUIRE(engine.create_volume("v", MiB));
        });
    }
}
