// SPDX-License-Identifier: Apache-2.0
// The in-place RAID6 that benches compare with: its parity stays right, and its I/O is counted.
#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/types.h"
#include "bench/inplace_raid6.h"

using namespace qlcshape;

namespace {

struct Drives {
    std::vector<std::unique_ptr<Device>> owned;
    std::vector<Device*> all;
    std::vector<std::string> paths;

    Drives(const std::string& prefix, std::uint32_t count, std::uint64_t bytes) {
        for (std::uint32_t i = 0; i < count; ++i) {
            paths.push_back(prefix + std::to_string(i));
            auto device = open_device(paths.back(), bytes, Access::read_write, true);
            REQUIRE(device);
            owned.push_back(*std::move(device));
            all.push_back(owned.back().get());
        }
    }
    ~Drives() {
        owned.clear();
        for (const std::string& path : paths) forget_memory_device(path);
    }
};

}  // namespace

TEST_CASE("in-place raid6: parity is right after many updates of few rows") {
    const std::uint32_t k = GENERATE(2u, 3u, 8u);
    const InplaceLayout layout{.data_strips = k,
                               .strip_bytes = 16 * KiB,
                               .offset = 64 * KiB,
                               .bytes_per_drive = 256 * KiB};
    Drives drives("memory:inplace", k + 2, MiB);
    const auto result = run_inplace_raid6(drives.all, layout, 64, {.writes = 5000}, 1);
    REQUIRE(result);
    CHECK(result->writes == 5000);
    CHECK(result->reads_issued == 3 * 5000);
    CHECK(result->writes_issued == 3 * 5000);
    CHECK(result->flushes_issued == 0);  // memory has no volatile cache
    CHECK(check_inplace_parity(drives.all, layout));

    const Buffer block(4096);
    block.data()[5] = std::byte{1};
    IoQueue queue;
    REQUIRE(run(queue, {.kind = IoKind::write,
                        .device = drives.all[1],
                        .offset = 128 * KiB,
                        .bytes = 4096,
                        .data = block.data()}));
    const Status damaged = check_inplace_parity(drives.all, layout);
    REQUIRE_FALSE(damaged);
    CHECK(damaged.error().code == Errc::damaged);
}

TEST_CASE("in-place raid6: on files, with group flushes") {
    std::string folder =
        (std::filesystem::temp_directory_path() / "qlcshape-inplace-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    {
        const InplaceLayout layout{
            .data_strips = 2, .strip_bytes = 16 * KiB, .offset = 0, .bytes_per_drive = MiB};
        Drives drives(folder + "/drive", 4, MiB);
        const auto result = run_inplace_raid6(drives.all, layout, 32, {.writes = 400}, 2);
        REQUIRE(result);
        CHECK(result->writes == 400);
        CHECK(result->flushes_issued > 0);
        CHECK(result->flushes_issued < 3 * 400);
        CHECK(check_inplace_parity(drives.all, layout));
    }
    std::filesystem::remove_all(folder);
}

TEST_CASE("in-place raid6: limits and refusals") {
    Drives drives("memory:inplace", 4, MiB);
    InplaceLayout layout{.data_strips = 2, .strip_bytes = 16 * KiB, .bytes_per_drive = MiB};
    const auto timed = run_inplace_raid6(drives.all, layout, 8, {.seconds = 0.02}, 3);
    REQUIRE(timed);
    CHECK(timed->writes > 0);
    CHECK(timed->seconds < 10);
    layout.bytes_per_drive = 2 * MiB;
    CHECK(run_inplace_raid6(drives.all, layout, 8, {.writes = 1}, 3).error().code ==
          Errc::invalid_argument);
    layout.data_strips = 3;
    CHECK(run_inplace_raid6(drives.all, layout, 8, {.writes = 1}, 3).error().code ==
          Errc::invalid_argument);
}
