// SPDX-License-Identifier: Apache-2.0
// Files through io_uring: transfers, depth, registered memory, sleeping and waking, locks,
// refusals.
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "base/types.h"
#include "device/device.h"
#include "device/ring.h"
#include "folder.h"

using namespace qlcshape;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<Device> open_or_fail(const std::string& path, std::uint64_t size_bytes,
                                     Access access, bool make) {
    auto device = open_device(path, size_bytes, access, make);
    if (!device) FAIL(device.error().message);
    return *std::move(device);
}

Io transfer(IoKind kind, Device& device, std::uint64_t offset, std::uint64_t bytes,
            std::byte* data) {
    return {.kind = kind, .device = &device, .offset = offset, .bytes = bytes, .data = data};
}

void fill(std::span<std::byte> bytes, std::uint64_t seed) {
    Random random(seed);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
}

Errc code_of(const Result<std::unique_ptr<Device>>& device) {
    REQUIRE_FALSE(device);
    return device.error().code;
}

bool mentions(const Result<std::unique_ptr<Device>>& device, const std::string& text) {
    return device.error().message.find(text) != std::string::npos;
}

std::uint64_t milliseconds_since(std::chrono::steady_clock::time_point start) {
    const auto passed = std::chrono::steady_clock::now() - start;
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(passed).count());
}

}  // namespace

TEST_CASE("file device: write, flush, read, and a discard that is advice") {
    const Folder folder;
    auto device = open_or_fail(folder.file("a"), 4 * MiB, Access::read_write, true);
    CHECK(device->geometry().capacity_bytes == 4 * MiB);
    CHECK(device->geometry().block_bytes == 4096);
    CHECK(device->geometry().volatile_cache);
    IoQueue queue;
    const Buffer out(MiB);
    const Buffer in(MiB);
    fill(out.span(), 1);
    REQUIRE(run(queue, transfer(IoKind::write, *device, MiB, MiB, out.data())));
    REQUIRE(run(queue, {.kind = IoKind::flush, .device = device.get()}));
    REQUIRE(run(queue, transfer(IoKind::read, *device, MiB, MiB, in.data())));
    CHECK(std::memcmp(in.data(), out.data(), MiB) == 0);
    REQUIRE(run(queue, transfer(IoKind::discard, *device, MiB, 64 * KiB, nullptr)));
    REQUIRE(run(queue, transfer(IoKind::read, *device, MiB, 128 * KiB, in.data())));
    CHECK(std::memcmp(in.data(), out.data(), 128 * KiB) == 0);
}

TEST_CASE("file device: more requests than any ring holds") {
    const Folder folder;
    constexpr std::uint64_t kCount = 6000;
    constexpr std::uint64_t kBytes = kCount * 4096;
    auto device = open_or_fail(folder.file("deep"), kBytes, Access::read_write, true);
    const Buffer out(kBytes);
    const Buffer in(kBytes);
    fill(out.span(), 2);
    IoQueue queue({out.span()});
    std::vector<Io> ios;
    for (std::uint64_t i = 0; i < kCount; ++i) {
        ios.push_back(transfer(IoKind::write, *device, i * 4096, 4096, out.data() + i * 4096));
    }
    REQUIRE(run(queue, ios));
    for (std::uint64_t i = 0; i < kCount; ++i) {
        ios[i] = transfer(IoKind::read, *device, i * 4096, 4096, in.data() + i * 4096);
    }
    REQUIRE(run(queue, ios));
    CHECK(queue.in_flight() == 0);
    CHECK(std::memcmp(in.data(), out.data(), kBytes) == 0);
}

TEST_CASE("file device: registered and other memory side by side") {
    const Folder folder;
    auto device = open_or_fail(folder.file("fixed"), MiB, Access::read_write, true);
    const Buffer first(64 * KiB);
    const Buffer second(64 * KiB);
    const Buffer other(64 * KiB);
    IoQueue queue({second.span(), first.span()});
    queue.register_memory();
    rlimit locked{};
    REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &locked) == 0);
    if (queue.ring() != nullptr && locked.rlim_cur >= MiB) CHECK(queue.ring()->memory_registered());
    for (const Buffer* buffer : {&first, &second, &other}) {
        fill(buffer->span(), 3);
        REQUIRE(run(queue, transfer(IoKind::write, *device, 4096, 60 * KiB, buffer->data())));
        const std::vector<std::byte> before(buffer->data(), buffer->data() + 60 * KiB);
        std::memset(buffer->data(), 0, buffer->size());
        REQUIRE(
            run(queue, transfer(IoKind::read, *device, 4096, 60 * KiB, buffer->data() + 4 * KiB)));
        CHECK(std::memcmp(before.data(), buffer->data() + 4 * KiB, before.size()) == 0);
    }
}

TEST_CASE("file device: files come and go under one queue") {
    const Folder folder;
    IoQueue queue;
    const Buffer block(4096);
    auto kept = open_or_fail(folder.file("kept"), MiB, Access::read_write, true);
    for (int round = 0; round < 600; ++round) {
        const std::string path = folder.file(round % 2 == 0 ? "even" : "odd");
        auto device = open_or_fail(path, MiB, Access::read_write, true);
        std::memset(block.data(), round, 4096);
        REQUIRE(run(queue, transfer(IoKind::write, *device, 0, 4096, block.data())));
        REQUIRE(run(queue, transfer(IoKind::write, *kept, 4096, 4096, block.data())));
        std::ifstream file(path, std::ios::binary);
        REQUIRE(file.get() == (round & 0xff));
    }
}

TEST_CASE("file device: a durable write gathers its parts") {
    const Folder folder;
    auto device = open_or_fail(folder.file("parts"), MiB, Access::read_write, true);
    const Buffer first(4096), second(3 * 4096), read(5 * 4096);
    std::memset(first.data(), 1, first.size());
    std::memset(second.data(), 2, second.size());
    const iovec parts[] = {{second.data(), second.size()}, {first.data(), first.size()}};
    for (const bool blocking : {false, true}) {
        IoQueue queue;
        if (blocking) queue.use_blocking_calls();
        REQUIRE(run(queue, {.kind = IoKind::write,
                            .device = device.get(),
                            .offset = 4096,
                            .bytes = first.size() + second.size(),
                            .parts = parts,
                            .durable = true}));
        REQUIRE(run(queue, transfer(IoKind::read, *device, 0, read.size(), read.data())));
        CHECK(read.data()[4095] == std::byte{0});
        CHECK(std::memcmp(read.data() + 4096, second.data(), second.size()) == 0);
        CHECK(std::memcmp(read.data() + 4 * 4096, first.data(), first.size()) == 0);
        std::memset(second.data(), 3, second.size());
    }
}

TEST_CASE("file device: a queue used by one thread after another") {
    const Folder folder;
    auto device = open_or_fail(folder.file("moved"), MiB, Access::read_write, true);
    const Buffer block(4096);
    IoQueue queue({block.span()});
    const auto use = [&] {
        for (int i = 0; i < 3; ++i) {
            const Status status =
                run(queue, transfer(IoKind::write, *device, 0, 4096, block.data()));
            if (!status) return false;
        }
        return true;
    };
    CHECK(use());
    // A thread may have the id that one had which has ended.
    std::set<std::thread::id> ids;
    for (int i = 0; i < 4; ++i) {
        bool elsewhere = false;
        std::thread([&] {
            ids.insert(std::this_thread::get_id());
            elsewhere = use();
        }).join();
        CHECK(elsewhere);
    }
    CHECK(use());
    if (ids.size() == 4) WARN("each thread had an id of its own, so that was not tried");
}

TEST_CASE("file device: wait ends on a completion, delivers nothing") {
    const Folder folder;
    auto device = open_or_fail(folder.file("wait"), MiB, Access::read_write, true);
    const Buffer block(4096);
    IoQueue queue;
    static bool done;
    done = false;
    Io io = transfer(IoKind::write, *device, 0, 4096, block.data());
    io.done = [](Io&) { done = true; };
    queue.submit(io);
    const auto start = std::chrono::steady_clock::now();
    queue.wait(30'000'000);
    CHECK(milliseconds_since(start) < 20'000);
    CHECK_FALSE(done);
    while (queue.poll() == 0) queue.wait(1000);
    CHECK(done);
}

TEST_CASE("io queue: wait times out, a wake before it counts once") {
    const Folder folder;
    const bool with_ring = GENERATE(false, true);
    CAPTURE(with_ring);
    IoQueue queue;
    if (with_ring) queue.ring();
    for (int round = 0; round < 3; ++round) {
        auto start = std::chrono::steady_clock::now();
        queue.wait(30'000);
        CHECK(milliseconds_since(start) >= 29);
        queue.wake();
        queue.wake();
        start = std::chrono::steady_clock::now();
        queue.wait(30'000'000);
        CHECK(milliseconds_since(start) < 20'000);
    }
}

TEST_CASE("io queue: no wake is lost between threads") {
    const bool with_ring = GENERATE(false, true);
    CAPTURE(with_ring);
    constexpr int kRounds = 3000;
    std::atomic<int> sent{0};
    std::atomic<int> received{0};
    std::atomic<bool> stuck{false};
    IoQueue queue;
    std::thread sleeper([&] {
        if (with_ring) queue.ring();
        while (received.load() < kRounds) {
            const int now = sent.load();
            if (now > received.load()) {
                received.store(now);
                continue;
            }
            const auto start = std::chrono::steady_clock::now();
            queue.wait(10'000'000);
            if (milliseconds_since(start) > 9'000) {
                stuck = true;
                return;
            }
            queue.poll();
        }
    });
    for (int i = 1; i <= kRounds && !stuck; ++i) {
        sent.store(i);
        queue.wake();
        while (received.load() < i && !stuck) std::this_thread::yield();
    }
    sleeper.join();
    CHECK_FALSE(stuck);
    CHECK(received == kRounds);
}

TEST_CASE("io queue: wakes and completions at once") {
    const Folder folder;
    auto device = open_or_fail(folder.file("both"), MiB, Access::read_write, true);
    const Buffer block(4096);
    IoQueue queue;
    std::atomic<bool> stop{false};
    std::thread waker([&] {
        while (!stop) {
            queue.wake();
            std::this_thread::yield();
        }
    });
    for (int i = 0; i < 500; ++i) {
        CHECK(run(queue, transfer(IoKind::write, *device, 0, 4096, block.data())));
    }
    stop = true;
    waker.join();
}

TEST_CASE("file device: the second opener is told who holds it") {
    const Folder folder;
    const std::string path = folder.file("lock");
    {
        auto writer = open_or_fail(path, MiB, Access::read_write, true);
        const auto second = open_device(path, 0, Access::read_write, false);
        CHECK(code_of(second) == Errc::busy);
        CHECK(mentions(second, path));
        CHECK(mentions(second, "this process"));
        CHECK(code_of(open_device(path, 0, Access::read_only, false)) == Errc::busy);
        CHECK(open_device(path, 0, Access::inspect, false));
    }
    auto reader = open_or_fail(path, 0, Access::read_only, false);
    CHECK(open_device(path, 0, Access::read_only, false));
    CHECK(code_of(open_device(path, 0, Access::read_write, false)) == Errc::busy);
    CHECK(reader->read_only());
}

TEST_CASE("file device: refusals name the path, and change nothing") {
    const Folder folder;
    const std::string path = folder.file("refused");
    const auto missing = open_device(path, MiB, Access::read_write, false);
    CHECK(code_of(missing) == Errc::missing_device);
    CHECK(mentions(missing, path));
    CHECK_FALSE(fs::exists(path));
    CHECK(code_of(open_device(path, 0, Access::read_write, true)) == Errc::invalid_argument);
    CHECK(code_of(open_device(path, 5000, Access::read_write, true)) == Errc::invalid_argument);
    CHECK_FALSE(fs::exists(path));
    CHECK(code_of(open_device(folder.file("no/such"), MiB, Access::read_write, true)) ==
          Errc::missing_device);
    CHECK(code_of(open_device(folder.file("."), 0, Access::read_only, false)) ==
          Errc::invalid_argument);
    CHECK(code_of(open_device("/dev/null", 0, Access::read_only, false)) == Errc::invalid_argument);

    open_or_fail(path, MiB, Access::read_write, true).reset();
    const auto larger = open_device(path, 2 * MiB, Access::read_write, false);
    CHECK(code_of(larger) == Errc::invalid_argument);
    CHECK(mentions(larger, "1048576"));
    CHECK(mentions(larger, "2097152"));
    CHECK(code_of(open_device(path, 4096, Access::read_write, true)) == Errc::invalid_argument);
    CHECK(fs::file_size(path) == MiB);
    open_or_fail(path, 2 * MiB, Access::read_write, true).reset();
    CHECK(fs::file_size(path) == 2 * MiB);

    const std::string small = folder.file("small");
    std::ofstream(small) << "too small";
    CHECK(code_of(open_device(small, 0, Access::read_write, false)) == Errc::invalid_argument);
}

TEST_CASE("file device: a failed transfer names device, offset and cause") {
    const Folder folder;
    const std::string path = folder.file("short");
    auto device = open_or_fail(path, MiB, Access::read_write, true);
    REQUIRE(::truncate(path.c_str(), 64 * KiB) == 0);
    IoQueue queue;
    const Buffer block(8192);
    const Status status =
        run(queue, transfer(IoKind::read, *device, 128 * KiB, 8192, block.data()));
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::io_error);
    for (const std::string& part : {path, std::string("131072"), std::string("8192")}) {
        CHECK(status.error().message.find(part) != std::string::npos);
    }
}
