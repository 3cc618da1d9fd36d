// SPDX-License-Identifier: Apache-2.0
// What the system refuses to an opening: memory and threads. It fails with a message that names the
// limit, and the array opens afterwards.
#include <sys/syscall.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <initializer_list>
#include <new>
#include <string>

#include "engine/limits.h"
#include "limits.h"
#include "test_array.h"

using namespace qlcshape;

namespace {

void check(const Status& refused, Errc code, std::initializer_list<const char*> words) {
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
    check(opening(options), Errc::no_memory, {"pmt_cache", "1000 TiB", "RAM", "array file"});
    check(Engine::create(options, true), Errc::no_memory, {"pmt_cache", "1000 TiB"});
    options.pmt_cache_bytes = 1;
    check(opening(options), Errc::invalid_argument, {"pmt_cache"});
    check(Engine::create(options, true), Errc::invalid_argument, {"pmt_cache"});
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
    check(opened, Errc::no_memory, {"ulimit -u"});
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
    check(outcome, Errc::no_memory, {"array a", "pmt_cache", "ulimit -v"});
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
        check(opening(options), Errc::no_memory, {"pmt_cache", "64 MiB", "ulimit -v"});
    }
    CHECK(opening(options));
}
#endif
