// SPDX-License-Identifier: Apache-2.0
// The shape guard: what it lets through, and that each breach stops the process.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <functional>

#include "base/buffer.h"
#include "base/types.h"
#include "device/device.h"

using namespace qlcshape;

namespace {

constexpr char kShapedName[] = "memory:device_shape_test";
constexpr std::uint64_t kStrip = 64 * KiB;
constexpr std::uint64_t kUnit = 4 * kStrip;
constexpr std::uint64_t kUnits = 4;

// A guarded drive with unit 0 empty, unit 1 half full, the others unknown.
struct ShapedDrive {
    std::unique_ptr<Device> device;
    Buffer data{2 * kStrip};
    IoQueue queue;

    ShapedDrive() {
        auto opened = open_device(kShapedName, kUnits * kUnit, Access::read_write, true);
        REQUIRE(opened);
        device = *std::move(opened);
        device->guard_shape(kStrip, kUnit);
        device->guard()->set_position(0, 0);
        device->guard()->set_position(1, 2);
    }
    ~ShapedDrive() {
        device.reset();
        forget_memory_device(kShapedName);
    }
    void write(std::uint64_t offset, std::uint64_t bytes = kStrip) {
        REQUIRE(run(queue, {.kind = IoKind::write,
                            .device = device.get(),
                            .offset = offset,
                            .bytes = bytes,
                            .data = data.data()}));
    }
    void discard(std::uint64_t offset, std::uint64_t bytes) {
        REQUIRE(run(
            queue,
            {.kind = IoKind::discard, .device = device.get(), .offset = offset, .bytes = bytes}));
    }
};

// In a child process, so that this one survives the assertion.
bool aborts(const std::function<void()>& act) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);  // not Catch's, which would report it
        if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(2);
        act();
        ::_exit(0);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
    }
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

}  // namespace

TEST_CASE("shape guard: strips in order, from the position that was set") {
    ShapedDrive drive;
    for (std::uint64_t strip = 0; strip < 4; ++strip) drive.write(strip * kStrip);
    drive.write(kUnit + 2 * kStrip);
    drive.write(kUnit + 3 * kStrip);
    CHECK(drive.device->guard()->strips_written() == 6);
}

TEST_CASE("shape guard: a discarded unit begins anew") {
    ShapedDrive drive;
    drive.write(0);
    drive.discard(0, 2 * kUnit);
    drive.write(0);
    drive.write(kUnit);
    drive.discard(3 * kUnit, kUnit);
    drive.write(3 * kUnit);
    CHECK(drive.device->guard()->strips_written() == 4);
}

TEST_CASE("shape guard: reads and flushes go anywhere") {
    ShapedDrive drive;
    REQUIRE(run(drive.queue, {.kind = IoKind::read,
                              .device = drive.device.get(),
                              .offset = 3 * kUnit + 4096,
                              .bytes = 4096,
                              .data = drive.data.data()}));
    REQUIRE(run(drive.queue, {.kind = IoKind::flush, .device = drive.device.get()}));
}

TEST_CASE("shape guard: every breach stops the process") {
    ShapedDrive drive;
    CHECK_FALSE(aborts([&] { drive.write(0); }));
    SECTION("ahead of the write position") {
        CHECK(aborts([&] { drive.write(kStrip); }));
    }
    SECTION("behind it") {
        CHECK(aborts([&] { drive.write(kUnit + kStrip); }));
    }
    SECTION("twice at the same place") {
        CHECK(aborts([&] {
            drive.write(0);
            drive.write(0);
        }));
    }
    SECTION("part of a strip") {
        CHECK(aborts([&] { drive.write(0, 4096); }));
    }
    SECTION("more than a strip") {
        CHECK(aborts([&] { drive.write(0, 2 * kStrip); }));
    }
    SECTION("at an offset between strips") {
        CHECK(aborts([&] { drive.write(4096); }));
    }
    SECTION("a full unit") {
        drive.device->guard()->set_position(1, 4);
        CHECK(aborts([&] { drive.write(kUnit); }));
    }
    SECTION("a unit whose position nobody knows") {
        CHECK(aborts([&] { drive.write(2 * kUnit); }));
    }
    SECTION("part of a unit discarded") {
        CHECK(aborts([&] { drive.discard(0, kStrip); }));
    }
    SECTION("a unit discarded across a border") {
        CHECK(aborts([&] { drive.discard(kStrip, kUnit); }));
    }
    SECTION("a position beyond the unit") {
        CHECK(aborts([&] { drive.device->guard()->set_position(0, 5); }));
    }
}

TEST_CASE("io queue: what the programmer owes is asserted") {
    ShapedDrive drive;
    const auto read = [&](std::uint64_t offset, std::uint64_t bytes, std::size_t skew = 0) {
        REQUIRE(run(drive.queue, {.kind = IoKind::read,
                                  .device = drive.device.get(),
                                  .offset = offset,
                                  .bytes = bytes,
                                  .data = drive.data.data() + skew}));
    };
    CHECK_FALSE(aborts([&] { read(0, 4096); }));
    CHECK(aborts([&] { read(512, 4096); }));
    CHECK(aborts([&] { read(0, 512); }));
    CHECK(aborts([&] { read(0, 0); }));
    CHECK(aborts([&] { read(0, 4096, 512); }));
    CHECK(aborts([&] { read(kUnits * kUnit, 4096); }));
    CHECK(aborts([&] { read(kUnits * kUnit - 4096, 8192); }));
    CHECK(aborts([&] { read(~std::uint64_t{4095}, 8192); }));
}

TEST_CASE("device: a write, flush or discard of a read-only one stops the process") {
    const auto device = open_device(kShapedName, 4 * kUnit, Access::read_write, true);
    REQUIRE(device);
    (*device)->set_read_only();
    IoQueue queue;
    const Buffer block(4096);
    const auto transfer = [&](IoKind kind, std::uint64_t bytes) {
        Io io{.kind = kind, .device = device->get(), .bytes = bytes};
        if (kind == IoKind::read || kind == IoKind::write) io.data = block.data();
        static_cast<void>(run(queue, io));
    };
    CHECK_FALSE(aborts([&] { transfer(IoKind::read, 4096); }));
    CHECK(aborts([&] { transfer(IoKind::write, 4096); }));
    CHECK(aborts([&] { transfer(IoKind::discard, 4096); }));
    CHECK(aborts([&] { transfer(IoKind::flush, 0); }));
    forget_memory_device(kShapedName);
}
