// SPDX-License-Identifier: Apache-2.0
// Memory that runs out while an array is open: threads that serve requests need none, and what does
// fails without ending the process.
#include <pthread.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <map>
#include <new>
#include <string_view>
#include <thread>

#include "base/kept.h"
#include "core_array.h"
#include "engine/limits.h"
#include "test_array.h"

namespace {

std::atomic<bool> workers_have_none{false};  // threads of the engine that serve requests
thread_local bool here_is_none = false;
thread_local int until_one_fails = 0;  // of the calls here the one with this number, from 1 on
std::atomic<int> refused{0};

bool is_worker() {
    char name[16] = {};
    ::pthread_getname_np(::pthread_self(), name, sizeof(name));
    const std::string_view text(name);
    return text.starts_with("qs-shard") || text.starts_with("qs-gc");
}

}  // namespace

#if defined(__SANITIZE_THREAD__)
// An engine that was halted leaves its threads as they are, by design.
extern "C" [[gnu::visibility("default")]] const char* __tsan_default_options();
extern "C" [[gnu::visibility("default"), gnu::used]] const char* __tsan_default_options() {
    return "report_thread_leaks=0";
}
#endif

// Not inlined: the compiler would see malloc() and free() meet new and delete.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
    const bool chosen = until_one_fails > 0 && --until_one_fails == 0;
    if (chosen || here_is_none || (workers_have_none && is_worker())) {
        ++refused;
        throw std::bad_alloc();
    }
    void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    try {
        return operator new(bytes);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
// All of them, or a sanitizer's own would meet these.
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t& none) noexcept {
    return operator new(bytes, none);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }

using namespace qlcshape;

namespace {

// Calls that must get by without.
template <class What>
auto workers_without_memory(const What& what) {
    refused = 0;
    workers_have_none = true;
    auto outcome = what();
    workers_have_none = false;
    return outcome;
}

}  // namespace

TEST_CASE("out of memory: writes, reads, trims, GC and rebuilt blocks need none") {
    TestArray array("out_of_memory");
    const auto data = bytes_of(MiB, 5);
    array.use([&](Engine& e) {
        const std::uint64_t bytes = e.stats().space.writable_bytes / MiB * MiB;
        REQUIRE(e.create_volume("v", bytes));
        const auto volume = e.open_volume("v");
        REQUIRE(volume);
        const Status load = workers_without_memory([&]() -> Status {
            auto block = data;
            for (int round = 0; round < 3; ++round) {
                for (std::uint64_t at = 0; at < bytes; at += MiB) {
                    if (auto s = volume->run(Op::write, at, MiB, block.data()); !s) return s;
                    if (auto s = volume->run(Op::trim, at + 8192, 4096, nullptr); !s) return s;
                    if (auto s = volume->run(Op::write, at + 512, 512, block.data()); !s) return s;
                }
            }
            return volume->flush();
        });
        CHECK(load);
        CHECK(refused == 0);
        CHECK(e.stats().gc.bands_moved > 0);
    });
    array.options.devices.erase(array.options.devices.begin());
    array.use([&](Engine& e) {
        const auto volume = e.open_volume("v");
        REQUIRE(volume);
        const Status load = workers_without_memory([&]() -> Status {
            auto block = data;
            for (std::uint64_t at = 0; at < 8 * MiB; at += MiB) {
                if (auto s = volume->run(Op::read, at, MiB, block.data()); !s) return s;
            }
            return {};
        });
        CHECK(load);
        CHECK(refused == 0);
        CHECK(e.stats().errors.reconstructed > 0);
    });
    forget_memory_device("memory:out_of_memory_test_0");
}

TEST_CASE("out of memory: a request that fails says so without words") {
    CoreArray array;
    array.open_and_write_sevens();
    array.power.fails = [](const Io& io) { return io.point == PersistencePoint::tps_write; };
    Bytes block(kBlockBytes, std::byte{8});
    auto volume = array.core->volume("v");
    REQUIRE(volume);
    bool done = false;
    Status outcome;
    Request r{Op::write, 0, kBlockBytes, block.data(), [&](Status status) {
                  outcome = std::move(status);
                  done = true;
              }};
    REQUIRE(array.core->submit(**volume, std::move(r)));
    here_is_none = true;
    for (int i = 0; i < 1000 && !done; ++i) array.poll();
    Status late = array.core->submit(**volume, {Op::write, 1, 1, block.data(), {}});
    here_is_none = false;
    REQUIRE(done);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == Errc::io_error);
    CHECK(outcome.error().message == "out of memory");
    REQUIRE_FALSE(late);
    CHECK(late.error().code == Errc::invalid_argument);
    CHECK(array.core->requests_in_flight() == 0);
    CHECK(array.core->failed());
    CHECK(array.core->stats().cause.find("tps") == std::string::npos);
    array.cut();
}

// Each allocation fails once: a change that is refused has left no trace, and can be made later.
TEST_CASE("out of memory: a change of the volumes is made, or refused without a trace") {
    CoreArray array;
    REQUIRE(array.open());
    Core& core = *array.core;
    REQUIRE(core.create_volume("old", MiB));
    const auto volumes = [&core] {
        std::map<std::string, std::uint64_t> sizes{{"", core.stats().space.promised_bytes}};
        for (const VolumeInfo& v : core.volumes()) sizes[v.name] = v.bytes;
        return sizes;
    };
    const auto change = [&](const char* what, const auto& make) {
        INFO(what);
        const auto before = volumes();
        int number = 0;
        for (;;) {
            REQUIRE(number < 1000);
            until_one_fails = ++number;
            const Status made = within_limits("test", make);
            until_one_fails = 0;
            if (made) break;
            INFO(number << ": " << made.error().message);
            REQUIRE(made.error().code == Errc::no_memory);
            REQUIRE_FALSE(core.failed());
            REQUIRE(volumes() == before);
        }
        CHECK(number > 3);
        CHECK(volumes() != before);
    };
    change("create", [&] { return core.create_volume("new", 2 * MiB); });
    const auto resize_to = [&](std::uint64_t bytes) {
        return [&core, bytes]() -> Status {
            const auto resize = core.begin_resize("new", bytes, Loss::refused);
            if (!resize) return fail(resize.error());
            return core.finish_resize(*resize, {});
        };
    };
    change("grow", resize_to(4 * MiB));
    change("shrink", resize_to(MiB));
    change("delete", [&]() -> Status {
        const auto deletion = core.begin_delete("old", Loss::refused);
        return deletion ? Status{} : fail(deletion.error());
    });
    array.cut();
    REQUIRE(array.open());
    const auto after = array.core->volumes();
    REQUIRE(after.size() == 1);
    CHECK(after.front().name == "new");
    CHECK(after.front().bytes == MiB);
    array.cut();
}

TEST_CASE("out of memory: a worker that can't go on halts the array, not the process") {
    const auto array = std::make_shared<CoreArray>();
    keep(array);  // with what is half done
    array->io_clock = std::make_unique<IoClock>(array->clock, 1'000'000'000);
    array->open_and_write_sevens();
    array->power.fails = [](const Io&) -> bool { throw std::bad_alloc(); };
    Bytes block(kBlockBytes, std::byte{8});
    Status outcome;
    Request r{Op::write, 0, kBlockBytes, block.data(),
              [&](Status status) { outcome = std::move(status); }};
    auto volume = array->core->volume("v");
    REQUIRE(volume);
    REQUIRE(array->core->submit(**volume, std::move(r)));
    for (int i = 0; i < 10; ++i) {
        array->poll();
        array->core->watch();
    }
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == Errc::io_error);
    CHECK(outcome.error().message.find("memory ran out") != std::string::npos);
    CHECK(array->core->advance_close());
    const Status closed = array->core->finish_close();
    REQUIRE_FALSE(closed);
    CHECK(closed.error().message.find("memory ran out") != std::string::npos);
}

TEST_CASE("out of memory: a done that throws halts the array, not the process") {
    const TestArray array("out_of_memory_worker");
    auto engine = Engine::open(array.options);
    REQUIRE(engine);
    REQUIRE((*engine)->create_volume("v", 4 * MiB));
    const auto volume = (*engine)->open_volume("v");
    REQUIRE(volume);
    auto block = bytes_of(kBlockBytes, 5);
    const bool memory = GENERATE(true, false);
    const auto thrower = [memory](const Status&) {
        if (memory) throw std::bad_alloc();
        throw 1;
    };
    REQUIRE(volume->submit({Op::write, 0, kBlockBytes, block.data(), thrower}));
    Status next;  // until it is noticed
    for (int i = 0; i < 3000 && next; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        next = volume->run(Op::write, kBlockBytes, kBlockBytes, block.data());
    }
    REQUIRE_FALSE(next);
    INFO(next.error().message);
    CHECK(next.error().code == Errc::io_error);
    const std::string why = "`done` threw an exception";
    CHECK(next.error().message.find(why) != std::string::npos);
    CHECK_FALSE(volume->run(Op::read, 0, kBlockBytes, block.data()));
    CHECK((*engine)->stats().state == "failed");
    const Status closed = (*engine)->close();
    REQUIRE_FALSE(closed);
    CHECK(closed.error().message.find(why) != std::string::npos);
}
