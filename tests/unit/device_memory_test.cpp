// SPDX-License-Identifier: Apache-2.0
// Memory devices, and what every device owes through an IoQueue.
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/types.h"
#include "device/device.h"

using namespace qlcshape;

namespace {

constexpr char kName[] = "memory:device_memory_test";

struct Forget {
    ~Forget() { forget_memory_device(kName); }
};

Io memory_io(IoKind kind, Device& device, std::uint64_t offset, std::uint64_t bytes,
             std::byte* data) {
    return {.kind = kind, .device = &device, .offset = offset, .bytes = bytes, .data = data};
}

std::unique_ptr<Device> open_or_fail(std::uint64_t size_bytes, Access access, bool make) {
    auto device = open_device(kName, size_bytes, access, make);
    if (!device) FAIL(device.error().message);
    return *std::move(device);
}

}  // namespace

TEST_CASE("memory device: what is written is read, and a discard is advice") {
    const Forget forget;
    auto device = open_or_fail(MiB, Access::read_write, true);
    CHECK(device->geometry().capacity_bytes == MiB);
    CHECK_FALSE(device->geometry().volatile_cache);
    IoQueue queue;
    const Buffer out(16 * KiB);
    const Buffer in(16 * KiB);
    std::memset(out.data(), 0x5a, out.size());
    REQUIRE(run(queue, memory_io(IoKind::write, *device, 64 * KiB, out.size(), out.data())));
    REQUIRE(run(queue, {.kind = IoKind::flush, .device = device.get()}));
    REQUIRE(run(queue, memory_io(IoKind::read, *device, 64 * KiB, in.size(), in.data())));
    CHECK(std::memcmp(in.data(), out.data(), in.size()) == 0);
    REQUIRE(run(queue, memory_io(IoKind::discard, *device, 64 * KiB, 8 * KiB, nullptr)));
    REQUIRE(run(queue, memory_io(IoKind::read, *device, 64 * KiB, in.size(), in.data())));
    CHECK(std::memcmp(in.data(), out.data(), in.size()) == 0);
}

TEST_CASE("io queue: completions come from poll alone, and callbacks may submit") {
    const Forget forget;
    auto device = open_or_fail(MiB, Access::read_write, true);
    IoQueue queue;
    struct Chain {
        IoQueue* queue;
        Buffer data{4096};
        unsigned done = 0;
    } chain{.queue = &queue};
    Io io = memory_io(IoKind::write, *device, 0, 4096, chain.data.data());
    io.context = &chain;
    io.done = [](Io& finished) {
        auto& state = *static_cast<Chain*>(finished.context);
        if (++state.done < 3) state.queue->submit(finished);
    };
    queue.submit(io);
    CHECK(chain.done == 0);
    CHECK(queue.in_flight() == 1);
    queue.wait(10'000'000);
    CHECK(chain.done == 0);
    for (unsigned i = 1; i <= 3; ++i) {
        CHECK(queue.poll() == 1);
        CHECK(chain.done == i);
    }
    CHECK(queue.poll() == 0);
    CHECK(queue.in_flight() == 0);
}

TEST_CASE("memory device: found again under its name until it is forgotten") {
    const Forget forget;
    IoQueue queue;
    const Buffer block(4096);
    std::memset(block.data(), 7, block.size());
    {
        auto device = open_or_fail(MiB, Access::read_write, true);
        REQUIRE(run(queue, memory_io(IoKind::write, *device, 4096, 4096, block.data())));
    }
    std::memset(block.data(), 0, block.size());
    {
        auto device = open_or_fail(0, Access::read_only, false);
        REQUIRE(run(queue, memory_io(IoKind::read, *device, 4096, 4096, block.data())));
        CHECK(block.data()[0] == std::byte{7});
        CHECK(device->read_only());
    }
    CHECK(open_or_fail(2 * MiB, Access::read_write, true)->geometry().capacity_bytes == 2 * MiB);
    CHECK(open_device(kName, MiB, Access::read_write, true).error().code == Errc::invalid_argument);
    forget_memory_device(kName);
    CHECK(open_device(kName, 0, Access::read_write, false).error().code == Errc::missing_device);
    CHECK(open_device(kName, 0, Access::read_write, true).error().code == Errc::invalid_argument);
}

TEST_CASE("memory device: one writer or several readers, and inspectors beside them") {
    const Forget forget;
    {
        auto writer = open_or_fail(MiB, Access::read_write, true);
        CHECK(open_device(kName, 0, Access::read_write, false).error().code == Errc::busy);
        CHECK(open_device(kName, 0, Access::read_only, false).error().code == Errc::busy);
        CHECK(open_device(kName, 0, Access::inspect, false));
    }
    auto reader = open_or_fail(0, Access::read_only, false);
    CHECK(open_device(kName, 0, Access::read_only, false));
    CHECK(open_device(kName, 0, Access::read_write, false).error().code == Errc::busy);
}

TEST_CASE("memory device: several threads at once") {
    const Forget forget;
    constexpr std::uint64_t kThreads = 4;
    auto device = open_or_fail(kThreads * MiB, Access::read_write, true);
    std::vector<unsigned> wrong(kThreads);
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            IoQueue queue;
            const Buffer block(4096);
            for (std::uint64_t i = 0; i < 256; ++i) {
                const std::uint64_t offset = (i * kThreads + t) * 4096;
                std::memset(block.data(), static_cast<int>(t + 1), 4096);
                if (!run(queue, memory_io(IoKind::write, *device, offset, 4096, block.data()))) {
                    ++wrong[t];
                }
                std::memset(block.data(), 0, 4096);
                if (!run(queue, memory_io(IoKind::read, *device, offset, 4096, block.data())) ||
                    block.data()[4095] != static_cast<std::byte>(t + 1)) {
                    ++wrong[t];
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    for (const unsigned count : wrong) CHECK(count == 0);
}
