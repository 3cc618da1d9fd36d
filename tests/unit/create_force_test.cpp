// SPDX-License-Identifier: Apache-2.0
// Making an array over an older one, on devices whose discard leaves the bytes as they are.
#include <catch2/catch.hpp>

#include "device/device.h"
#include "qlcshape/engine.h"

using namespace qlcshape;

TEST_CASE("create: with force over another array") {
    Options options;
    options.data_strips = 2;
    options.strip_bytes = 64 << 10;
    options.band_bytes = 512 << 10;
    for (int i = 0; i < 6; ++i) {
        options.devices.push_back({i < 4 ? Role::qlc : Role::scm,
                                   "memory:create_force_" + std::to_string(i),
                                   std::uint64_t{24 << 20}});
    }
    REQUIRE(Engine::create(options));
    {
        auto engine = Engine::open(options);
        REQUIRE(engine);
        REQUIRE((*engine)->create_volume("v", 1 << 20));
        REQUIRE((*engine)->close());
    }
    REQUIRE(Engine::create(options, true));
    {
        auto engine = Engine::open(options);
        if (!engine) FAIL(engine.error().message);
        CHECK((*engine)->volumes().empty());
        CHECK((*engine)->stats().epoch == 1);
    }
    for (const DeviceOptions& d : options.devices) forget_memory_device(d.path);
}
