// SPDX-License-Identifier: Apache-2.0
// What the log tells of an array.
#include <catch2/catch.hpp>
#include <mutex>
#include <vector>

#include "base/types.h"
#include "device/device.h"
#include "engine/monitor.h"
#include "qlcshape/engine.h"

using namespace qlcshape;

namespace {

// Threads of the engine's call it, too.
struct Lines {
    std::mutex mutex;
    std::vector<std::pair<LogLevel, std::string>> lines;

    Log sink() {
        return [this](LogLevel level, const std::string& text) {
            std::lock_guard lock(mutex);
            lines.emplace_back(level, text);
        };
    }
    bool has(LogLevel level, const std::string& words) const {
        for (const auto& [l, text] : lines) {
            if (l == level && text.find(words) != std::string::npos) return true;
        }
        return false;
    }
};

}  // namespace

TEST_CASE("log: opened, volumes, closed") {
    Lines log;
    Options options;
    options.name = "logged";
    options.data_strips = 2;
    options.band_bytes = 512 * KiB;
    options.pmt_cache_bytes = 64 * KiB;
    options.log = log.sink();
    for (int i = 0; i < 6; ++i) {
        options.devices.push_back(
            {i < 4 ? Role::qlc : Role::scm, "memory:log_test_" + std::to_string(i), 40 * MiB});
    }
    REQUIRE(Engine::create(options));
    {
        auto engine = Engine::open(options);
        REQUIRE(engine);
        REQUIRE((*engine)->create_volume("v0", MiB));
        REQUIRE((*engine)->delete_volume("v0"));
        REQUIRE((*engine)->finish_deletions());
    }
    REQUIRE(log.lines.size() == 5);
    CHECK(log.has(LogLevel::info, "array logged: opened"));
    CHECK(log.has(LogLevel::info, "volume v0: created, 1 MiB"));
    CHECK(log.has(LogLevel::info, "volume v0: deleted"));
    CHECK(log.has(LogLevel::info, "volume v0: its space is free again"));
    CHECK(log.has(LogLevel::info, "array logged: closed"));
    log.lines.clear();
    options.devices.erase(options.devices.begin());
    REQUIRE(Engine::open(options));
    CHECK(log.has(LogLevel::warning, "DEGRADED: qlc drive 0 is missing"));
    for (int i = 0; i < 6; ++i) forget_memory_device("memory:log_test_" + std::to_string(i));
}

TEST_CASE("log: what a look finds") {
    Lines log;
    Options options;
    options.log = log.sink();
    Stats before;
    before.array_name = "a";
    before.state = "open";
    before.devices.emplace_back();
    before.devices[0].uuid = "u0";
    before.devices[0].path = "p0";
    before.devices[0].role = "qlc";
    Stats now = before;
    log_changes(options, before, now);
    CHECK(log.lines.empty());

    now.devices[0].errors = 2;
    now.devices[0].last_error = "p0: write of 4096 bytes at offset 8192 failed";
    now.errors.verify_failed = 5;
    now.errors.commit_retries = 6;
    now.devices[0].checksum_errors = 5;
    now.devices[0].last_checksum_error_offset = 8192;
    now.errors.reconstructed = 4;
    now.errors.unreadable = 1;
    now.bands.out_of_use = 3;
    now.state = "failed";
    now.cause = "after a drive failed";
    log_changes(options, before, now);
    CHECK(log.lines.size() == 6);
    CHECK(log.has(LogLevel::warning, "6 segments are written again"));
    CHECK(log.has(LogLevel::error, "qlc drive 0 (u0): 2 transfers failed, the last: p0: write"));
    CHECK(log.has(LogLevel::warning,
                  "5 blocks failed their checksum; of p0 5, the last at offset 8192; 4"));
    CHECK(log.has(LogLevel::error, "1 blocks can't be read"));
    CHECK(log.has(LogLevel::error, "3 more bands are out of use"));
    CHECK(log.has(LogLevel::error, "writing has ended after a drive failed"));

    const Stats drained = now;
    now.errors.commit_retries += 2;  // and no drive refused anything
    log_changes(options, drained, now);
    CHECK(log.lines.size() == 7);
    CHECK(log.has(LogLevel::info, "2 segments are written again"));

    Options silent;
    log_changes(silent, before, now);
    log_opened(silent, now);
    CHECK(log.lines.size() == 7);
}
