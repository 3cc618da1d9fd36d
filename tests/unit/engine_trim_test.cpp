// SPDX-License-Identifier: Apache-2.0
// What a large trim costs: an amount for each page of the table that has something to trim,
// whatever the number of blocks.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "base/types.h"
#include "device/device.h"
#include "qlcshape/engine.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kPages = 1024;  // of 2 MiB each

std::uint64_t device_bytes(const Stats& s) {
    const auto& b = s.bytes;
    return b.tps_written + b.qlc_data + b.qlc_gc + b.qlc_parity + b.qlc_header + b.qlc_padding +
           b.pmt_written + b.pmt_read;
}

// Trims 2 GiB with `per_page` blocks written in each page, and returns what that counted.
struct Cost {
    std::uint64_t lookups = 0, tps = 0, bytes = 0;
};
Cost cost_of_trim(std::uint64_t per_page, const std::string& name) {
    Options options;
    options.name = name;
    options.pmt_cache_bytes = MiB;  // far less than the table
    options.data_strips = 2;
    for (int i = 0; i < 6; ++i) {
        options.devices.push_back({i < 4 ? Role::qlc : Role::scm,
                                   "memory:engine_trim_test_" + name + std::to_string(i),
                                   i < 4 ? 2560 * MiB : 256 * MiB});
    }
    const Status created = Engine::create(options);
    if (!created) FAIL(created.error().message);
    Cost cost;
    {
        auto engine = Engine::open(options);
        REQUIRE(engine);
        REQUIRE((*engine)->create_volume("v", 2 * GiB));
        const Volume v = *(*engine)->open_volume("v");
        const std::vector<std::byte> data(per_page * 4096, std::byte{1});
        for (std::uint64_t page = 0; page < kPages; ++page) REQUIRE(v.write(page * 512, data));
        const Stats before = (*engine)->stats();
        REQUIRE(v.trim(0, 2 * GiB / 4096));
        const Stats after = (*engine)->stats();
        CHECK(after.space.used_bytes == 0);
        cost.lookups = after.pmt.hits + after.pmt.misses - before.pmt.hits - before.pmt.misses;
        cost.tps = after.bytes.tps_written - before.bytes.tps_written;
        cost.bytes = device_bytes(after) - device_bytes(before);
    }
    for (const DeviceOptions& d : options.devices) forget_memory_device(d.path);
    return cost;
}

}  // namespace

TEST_CASE("engine trim: 2 GiB cost by the page of the table, not by the block") {
    const Cost one = cost_of_trim(1, "one");
    const Cost many = cost_of_trim(64, "many");
    for (const Cost& cost : {one, many}) {
        INFO(cost.lookups << " lookups, " << cost.tps << " bytes to the TPS, " << cost.bytes
                          << " bytes to and from drives in all");
        CHECK(cost.lookups <= 4 * kPages);
        CHECK(cost.tps <= kPages * 8192);
        CHECK(cost.bytes <= kPages * 32768);
    }
    CHECK(many.lookups <= one.lookups + kPages / 4);
}
