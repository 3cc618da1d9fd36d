// SPDX-License-Identifier: Apache-2.0
// What the system refuses to an opening: memory and threads. It fails with a message that names the
// limit, and the array opens afterwards.
#include <sys/syscall.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <new>
#include <string>

#include "engine/limits.h"
#include "limits.h"
#include "test_array.h"

using namespace qlcshape;

namespace {

void check_words(const Status& refused, Errc code, std::initializer_list<const char*> words) {
    REQUIRE_FALSE(refused);
    INFO(refused.error().message);
    CHECK(refused.error().code == code);
    for (const char* const word : words)
        CHECK(refused.error().message.find(word) != std::string::npos);
}

Status opening(const Options& options) {
    auto engine = Engine::open(options);
    if (!engine) return std::unexpected(engine.error());
    return (*engine)->close();
}

}  // namespace

TEST_CASE("engine limits: a cache that no opening could take") {
    const TestArray array("limits_cache");
    Options options = array.options;
    options.pmt_cache_bytes = 1000 * TiB;
    check_words(opening(options), Errc::no_memory, {"pmt_cache", "1000 TiB", "RAM", "array file"});
    check_words(Engine::create(options, true), Errc::no_memory, {"pmt_cache", "1000 TiB"});
    options.pmt_cache_bytes = 1;
    check_words(opening(options), Errc::invalid_argument, {"pmt_cache"});
    check_words(Engine::create(options, true), Errc::invalid_argument, {"pmt_cache"});
    array.use([](Engine& e) { CHECK(e.volumes().empty()); });
}

TEST_CASE("engine limits: no more threads") {
    const TestArray array("limits_threads");
    array.use([](Engine& e) { REQUIRE(e.create_volume("v0", MiB)); });
    Status opened;
    bool ran[4] = {};
    without_call(SYS_clone3, EAGAIN, [&] {  // what glibc starts threads with
        opened = opening(array.options);
        run_in_threads(4, [&](std::uint32_t part) { ran[part] = true; });
    });
    check_words(opened, Errc::no_memory, {"ulimit -u"});
    for (const bool part : ran) CHECK(part);
    array.use([](Engine& e) { CHECK(e.volumes().size() == 1); });
}

TEST_CASE("engine limits: what a part throws comes out when all have ended") {
    std::atomic<int> ended{0};
    const auto job = [&](std::uint32_t part) {
        ++ended;
        if (part == 2) throw std::bad_alloc();
    };
    const Status outcome = within_limits("array a", [&]() -> Status {
        run_in_threads(4, job);
        return {};
    });
    check_words(outcome, Errc::no_memory, {"array a", "pmt_cache", "ulimit -v"});
    CHECK(ended == 4);
}

// A sanitizer's own memory would be refused as well.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("engine limits: the address space is used up") {
    const TestArray array("limits_memory");
    Options options = array.options;
    options.pmt_cache_bytes = 64 * MiB;
    {
        const LowerLimit space(RLIMIT_AS, 32 * MiB);
        check_words(opening(options), Errc::no_memory, {"pmt_cache", "64 MiB", "ulimit -v"});
    }
    CHECK(opening(options));
}
#endif

namespace {

// How an engine on files says that it makes its transfers, where a system call fails.
Stats::Io without(int call, int error_number, std::vector<std::string>* log = nullptr) {
    std::string folder = std::filesystem::temp_directory_path() / "qlcshape-limits-XXXXXX";
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    Stats::Io io;
    {
        TestArray array("limits_rings", folder + "/");
        array.options.log = [&](LogLevel level, const std::string& text) {
            if (log != nullptr && level == LogLevel::warning) log->push_back(text);
        };
        without_call(call, error_number, [&] {
            const auto engine = Engine::open(array.options);
            if (engine) io = (*engine)->stats().io;
        });
    }
    std::filesystem::remove_all(folder);
    return io;
}

}  // namespace

TEST_CASE("engine limits: transfers without io_uring are slower, and it is said") {
    struct Case {
        int call, error_number;
        const char* remedy;
    };
    for (const Case& c : {Case{SYS_io_uring_setup, EPERM, "seccomp"},
                          {SYS_io_uring_setup, ENOSYS, "CONFIG_IO_URING"},
                          {SYS_io_uring_setup, EMFILE, "ulimit -n"},
                          {SYS_eventfd2, EMFILE, "ulimit -n"},
                          {SYS_io_uring_enter, EPERM, "seccomp"}}) {
        std::vector<std::string> log;
        const Stats::Io io = without(c.call, c.error_number, &log);
        INFO(c.remedy);
        CHECK(io.method == "blocking");
        REQUIRE(io.slow.size() == 1);
        CHECK(io.slow[0].find(c.remedy) != std::string::npos);
        REQUIRE(log.size() == 1);
        CHECK(log[0].find(io.slow[0]) != std::string::npos);
    }
    const Stats::Io plain = without(SYS_io_uring_register, ENOMEM);
    CHECK(plain.method == "io_uring");
    CHECK(plain.slow.empty());
    CHECK(plain.unregistered.find("isn't registered") != std::string::npos);
    const TestArray memory("limits_no_rings");
    memory.use([](Engine& e) { CHECK(e.stats().io.method.empty()); });
}
