// SPDX-License-Identifier: Apache-2.0
// A small array in memory for tests of the engine, and blocks for it.
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/types.h"
#include "device/device.h"
#include "qlcshape/engine.h"

namespace qlcshape {

// Two data strips, on files or memory whose names begin with `prefix`.
inline Options small_array(const std::string& prefix) {
    Options options;
    options.data_strips = 2;
    options.strip_bytes = 64 * KiB;
    options.band_bytes = 512 * KiB;
    options.pmt_cache_bytes = MiB;
    for (int i = 0; i < 6; ++i) {
        options.devices.push_back({i < 4 ? Role::qlc : Role::scm, prefix + std::to_string(i),
                                   i < 4 ? 40 * MiB : 16 * MiB});
    }
    return options;
}

struct TestArray {
    Options options;

    explicit TestArray(const std::string& name, const std::string& where = "memory:")
        : options(small_array(where + name + "_test_")) {
        options.name = name;
        const Status created = Engine::create(options);
        if (!created) FAIL(created.error().message);
    }
    ~TestArray() {
        for (const DeviceOptions& d : options.devices) forget_memory_device(d.path);
    }
    void use(const std::function<void(Engine&)>& what) const {
        auto engine = Engine::open(options);
        if (!engine) FAIL(engine.error().message);
        what(**engine);
        const Status closed = (*engine)->close();
        if (!closed) FAIL(closed.error().message);
    }
};

// It names what its message is about.
inline void check_refused(const Status& refused, Errc code, const std::string& names = "") {
    REQUIRE_FALSE(refused);
    INFO(refused.error().message);
    CHECK(refused.error().code == code);
    CHECK(refused.error().message.find(names) != std::string::npos);
}

// Whether it is so some time; each look is 20 ms after the one before.
inline bool becomes(const std::function<bool()>& so, int looks = 1000) {
    for (int i = 0; i < looks; ++i) {
        if (so()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
}

inline std::vector<std::byte> bytes_of(std::uint64_t size, int value) {
    return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

}  // namespace qlcshape
