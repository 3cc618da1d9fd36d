// SPDX-License-Identifier: Apache-2.0
// What a queue does where the system refuses a ring or a descriptor: blocking calls, same outcome.
#include <sys/resource.h>
#include <sys/syscall.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include "base/buffer.h"
#include "base/types.h"
#include "device/device.h"
#include "limits.h"

using namespace qlcshape;

namespace {

// A file of 1 MiB, open for writing.
struct OneFile {
    std::string path =
        (std::filesystem::temp_directory_path() / "qlcshape-device-refused").string();
    std::unique_ptr<Device> device;

    OneFile() {
        std::filesystem::remove(path);
        auto opened = open_device(path, MiB, Access::read_write, true);
        REQUIRE(opened);
        device = *std::move(opened);
    }
    ~OneFile() { std::filesystem::remove(path); }

    // Writes and reads back; whether it came back.
    bool passes(IoQueue& queue) const {
        const Buffer out(64 * KiB), in(64 * KiB);
        std::memset(out.data(), 7, out.size());
        Io io{.kind = IoKind::write,
              .device = device.get(),
              .offset = 128 * KiB,
              .bytes = out.size(),
              .data = out.data(),
              .durable = true};
        if (!run(queue, io)) return false;
        io.kind = IoKind::read;
        io.durable = false;
        io.data = in.data();
        return run(queue, io) && std::memcmp(in.data(), out.data(), in.size()) == 0;
    }
};

}  // namespace

TEST_CASE("io queue: rings that can be made and not entered") {
    const OneFile file;
    for (const int call : {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register}) {
        for (const int error_number : {EPERM, ENOSYS, ENOMEM}) {
            INFO("call " << call << ", error " << error_number);
            bool passed = false;
            without_call(call, error_number, [&] {
                IoQueue queue;
                passed = file.passes(queue);
            });
            CHECK(passed);
        }
    }
}

TEST_CASE("io queue: a write that a limit on the size of files cuts short names the limit") {
    const OneFile file;
    for (const bool blocking : {false, true}) {
        IoQueue queue;
        if (blocking) queue.use_blocking_calls();
        const Buffer out(64 * KiB);
        std::memset(out.data(), 7, out.size());
        rlimit before{};
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
        const rlimit low{160 * KiB, before.rlim_max};
        const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // as the programs do
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
        const Status written = run(queue, {.kind = IoKind::write,
                                           .device = file.device.get(),
                                           .offset = 128 * KiB,
                                           .bytes = out.size(),
                                           .data = out.data()});
        ::setrlimit(RLIMIT_FSIZE, &before);
        std::signal(SIGXFSZ, handler);
        REQUIRE_FALSE(written);
        INFO(written.error().message);
        CHECK(written.error().message.find("ulimit -f") != std::string::npos);
    }
}

// UBSan, which goes with ASan, needs descriptors itself to look at an object's type.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("io queue: no more descriptors") {
    const OneFile file;
    bool passes = false;
    std::atomic<IoQueue*> to_wake{nullptr};
    std::thread waker([&] {
        while (to_wake.load() == nullptr) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        to_wake.load()->wake();
    });
    {
        const LowerLimit files(RLIMIT_NOFILE, 0);
        IoQueue queue;
        passes = file.passes(queue);
        queue.wake();
        queue.wait(60'000'000);  // returns at once
        to_wake = &queue;
        queue.wait(60'000'000);
        waker.join();
    }
    CHECK(passes);
}
#endif
