// SPDX-License-Identifier: Apache-2.0
// Real threads, for the sanitizers: clients, shards, GC, scrub, volume changes and replaced drives
// at once; every read is compared.
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "device/device.h"
#include "qlcshape/engine.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kBlock = kVolumeBlockBytes;

Options small_array(std::uint32_t shards) {
    Options o;
    o.name = "stress";
    o.data_strips = 2;
    o.strip_bytes = 64 * KiB;
    o.band_bytes = 512 * KiB;
    o.overprovision = 0.25;
    o.shards = shards;
    o.gc_threads = 2;
    o.pmt_cache_bytes = 64 << 10;
    for (int i = 0; i < 4; ++i)
        o.devices.push_back({Role::qlc, "memory:stress-q" + std::to_string(i), 32 * MiB});
    for (int i = 0; i < 2; ++i)
        o.devices.push_back({Role::scm, "memory:stress-s" + std::to_string(i), 48 * MiB});
    return o;
}

void forget(const Options& o) {
    for (const auto& d : o.devices) forget_memory_device(d.path);
}

void fill(std::vector<std::byte>& block, std::uint64_t stamp) {
    for (std::size_t i = 0; i < block.size(); i += sizeof(stamp))
        std::memcpy(&block[i], &stamp, sizeof(stamp));
}

// Each client has blocks of its own, interleaved with the others', so what it reads is exact.
void client(const Volume& volume, std::uint32_t me, std::uint32_t clients, int rounds,
            std::atomic<int>& wrong) {
    Random random(me + 1);
    const std::uint64_t mine = volume.blocks() / clients;
    std::vector<std::uint64_t> stamps(mine);
    std::vector<std::byte> out(kBlock), in(kBlock);
    for (int i = 0; i < rounds; ++i) {
        const std::uint64_t n = random.below(mine);
        const std::uint64_t lba = n * clients + me;
        const std::uint64_t choice = random.below(10);
        if (choice < 6) {
            stamps[n] = static_cast<std::uint64_t>(i) << 8 | me | 1;
            fill(out, stamps[n]);
            if (!volume.write(lba, out)) ++wrong;
        } else if (choice == 6) {
            stamps[n] = 0;
            if (!volume.trim(lba, 1)) ++wrong;
        } else {
            fill(out, stamps[n]);
            if (!volume.read(lba, in) || in != out) ++wrong;
        }
        if (choice == 9 && random.chance(1, 20) && !volume.flush()) ++wrong;
    }
    for (std::uint64_t n = 0; n < mine; ++n) {
        fill(out, stamps[n]);
        if (!volume.read(n * clients + me, in) || in != out) ++wrong;
    }
}

// Many requests in flight from one thread, past the engine's limit.
void flood(const Volume& volume, std::atomic<int>& wrong) {
    std::vector<std::byte> data(16 * kBlock);
    std::atomic<int> pending{0};
    Random random(99);
    for (int i = 0; i < 4000; ++i) {
        Request request{Op::write, random.below(volume.blocks() - 16) * kBlock, data.size(),
                        data.data(), [&](Status s) {
                            if (!s) ++wrong;
                            --pending;
                        }};
        ++pending;
        const Status taken = volume.submit(std::move(request));
        if (taken) continue;
        --pending;
        if (taken.error().code != Errc::busy) ++wrong;
        std::this_thread::yield();
    }
    while (pending != 0) std::this_thread::yield();
}

// What operators do: scrubs, volumes that come and go, drives that are replaced.
void change(Engine& engine, Options& options, std::atomic<int>& wrong) {
    constexpr std::array<std::size_t, 4> kReplaced = {1, 4, 3, 5};  // of options.devices
    for (std::size_t i = 0; i <= kReplaced.size(); ++i) {
        if (!engine.start_scrub(i % 2 == 0 ? 0 : 64 * MiB)) ++wrong;
        if (!engine.create_volume("passing", 64 * kBlock)) ++wrong;
        if (!engine.delete_volume("passing")) ++wrong;
        if (i == kReplaced.size()) break;
        DeviceOptions& device = options.devices[kReplaced[i]];
        DeviceOptions fresh = device;
        fresh.path += "'";
        if (engine.replace(device.path, fresh))
            device = fresh;
        else
            ++wrong;
    }
}

// Meanwhile, what is shown.
void look(const Engine& engine, const std::atomic<bool>& ended, std::atomic<int>& wrong) {
    while (!ended) {
        const Stats now = engine.stats();
        if (now.replacement.percent > 100 || now.rebuild.percent > 100) ++wrong;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace

TEST_CASE("stress: clients, shards, GC and volume changes at once") {
    Options options = small_array(2);
    forget(options);
    REQUIRE(Engine::create(options));
    std::atomic<int> wrong{0};
    for (int opening = 0; opening < 2; ++opening) {
        auto engine = Engine::open(options);
        REQUIRE(engine);
        const std::string name = "v" + std::to_string(opening);
        const std::uint64_t third = (*engine)->stats().space.writable_bytes / 3 / kBlock * kBlock;
        REQUIRE((*engine)->create_volume(name, third));
        REQUIRE((*engine)->create_volume("flood", third));
        auto volume = (*engine)->open_volume(name);
        auto other = (*engine)->open_volume("flood");
        REQUIRE(volume);
        REQUIRE(other);
        std::vector<std::thread> threads;
        for (std::uint32_t i = 0; i < 3; ++i) {
            threads.emplace_back([&, i] { client(*volume, i, 3, 4000, wrong); });
        }
        threads.emplace_back([&] { flood(*other, wrong); });
        threads.emplace_back([&] { change(**engine, options, wrong); });
        std::atomic<bool> ended{false};
        std::thread looker([&] { look(**engine, ended, wrong); });
        for (auto& thread : threads) thread.join();
        ended = true;
        looker.join();
        CHECK(wrong == 0);
        CHECK((*engine)->stats().gc.bands_moved > 0);
        CHECK((*engine)->stats().scrub.strips_wrong == 0);
        CHECK((*engine)->stats().errors.verify_failed == 0);
        REQUIRE((*engine)->delete_volume("flood"));
        REQUIRE((*engine)->delete_volume(name));
        REQUIRE((*engine)->finish_deletions());
        CHECK((*engine)->stats().space.used_bytes == 0);
        CHECK((*engine)->close());
    }
    auto report = Engine::check(options);
    REQUIRE(report);
    CHECK(report->problems_found == 0);
    forget(options);
}

namespace {

void wipe_snapshots(const std::filesystem::path& drive) {
    std::fstream file(drive, std::ios::binary | std::ios::in | std::ios::out);
    std::vector<char> block(kBlock);
    for (std::streamoff at = 0; file.read(block.data(), kBlock); at += kBlock) {
        if (std::memcmp(block.data(), "SHPESNP1", 8) != 0) continue;
        block.assign(kBlock, 0);
        file.seekp(at).write(block.data(), kBlock);
        file.seekg(at + static_cast<std::streamoff>(kBlock));
    }
}

}  // namespace

TEST_CASE("stress: several threads bring the table up to date, or build it from headers") {
    const std::string kind = GENERATE("snapshot", "full");
    const auto folder =
        std::filesystem::temp_directory_path() / ("qlcshape-stress-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder / "crashed");
    Options options = small_array(2);
    Options crashed = options;
    for (std::size_t i = 0; i < options.devices.size(); ++i) {
        const std::string name = "drive" + std::to_string(i);
        options.devices[i].path = folder / name;
        crashed.devices[i].path = folder / "crashed" / name;
    }
    REQUIRE(Engine::create(options));
    {
        auto engine = Engine::open(options);
        INFO((engine ? std::string() : engine.error().message));
        REQUIRE(engine);
        REQUIRE((*engine)->create_volume("v", 20 * MiB));
        auto volume = (*engine)->open_volume("v");
        REQUIRE(volume);
        std::vector<std::byte> data(64 * kBlock);
        for (std::uint64_t at = 0; at < 2 * volume->blocks(); at += 64) {
            fill(data, at + 1);
            REQUIRE(volume->write(at % volume->blocks(), data));
        }
        // What a crash leaves: copies of the drives while nothing is in flight.
        for (std::size_t i = 0; i < options.devices.size(); ++i) {
            std::filesystem::copy_file(options.devices[i].path, crashed.devices[i].path);
            if (kind == "full") wipe_snapshots(crashed.devices[i].path);
        }
    }
    auto engine = Engine::open(crashed);
    REQUIRE(engine);
    CHECK((*engine)->stats().recovery.kind == kind);
    auto volume = (*engine)->open_volume("v");
    REQUIRE(volume);
    std::vector<std::byte> seen(64 * kBlock), right(64 * kBlock);
    std::uint64_t wrong = 0;
    for (std::uint64_t at = 0; at < volume->blocks(); at += 64) {
        fill(right, volume->blocks() + at + 1);
        if (!volume->read(at, seen) || seen != right) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK((*engine)->close());
    std::filesystem::remove_all(folder);
}
