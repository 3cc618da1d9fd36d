// SPDX-License-Identifier: Apache-2.0
// Threads that make and drop their io_urings in turn: the kernel maps one's queues where another's
// lay, which a sanitizer must not take for sharing.
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/buffer.h"
#include "base/types.h"
#include "device/device.h"

using namespace qlcshape;

namespace {

constexpr unsigned kRings = 50;

}  // namespace

TEST_CASE("stress: one thread's io_uring lies where another's was") {
    // A file each: the count of a shared one's users would put the threads' rings in order.
    std::array<std::string, 2> paths;
    std::array<std::unique_ptr<Device>, 2> devices;
    for (unsigned i = 0; i < 2; ++i) {
        const std::string name = "qlcshape-stress-ring-" + std::to_string(i);
        paths[i] = (std::filesystem::temp_directory_path() / name).string();
        auto device = open_device(paths[i], MiB, Access::read_write, true);
        REQUIRE(device);
        devices[i] = *std::move(device);
    }
    std::atomic<unsigned> turn{0};
    std::atomic<unsigned> failed{0};
    // Relaxed, for the same reason.
    const auto take_turns = [&](unsigned me) {
        const Buffer in(4 * KiB);
        for (unsigned round = 0; round < kRings; ++round) {
            while (turn.load(std::memory_order_relaxed) != 2 * round + me)
                std::this_thread::yield();
            {
                IoQueue queue;
                const Status read = run(queue, {.kind = IoKind::read,
                                                .device = devices[me].get(),
                                                .bytes = in.size(),
                                                .data = in.data()});
                if (!read) failed.fetch_add(1, std::memory_order_relaxed);
            }
            turn.store(2 * round + me + 1, std::memory_order_relaxed);
        }
    };
    std::thread first(take_turns, 0);
    std::thread second(take_turns, 1);
    first.join();
    second.join();
    for (const std::string& path : paths) std::filesystem::remove(path);
    CHECK(failed == 0);
}
