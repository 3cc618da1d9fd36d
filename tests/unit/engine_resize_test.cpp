// SPDX-License-Identifier: Apache-2.0
// Volumes that grow and shrink while they are in use.
#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "test_array.h"

using namespace qlcshape;

namespace {

bool holds(const Volume& v, std::uint64_t from, std::uint64_t bytes, int value) {
    std::vector<std::byte> read(bytes, std::byte{0xcc});
    const Status done = v.run(Op::read, from, bytes, read.data());
    if (!done) FAIL(done.error().message);
    return read == bytes_of(bytes, value);
}

bool refused(const Status& status, Errc code) { return !status && status.error().code == code; }

}  // namespace

TEST_CASE("engine resize: a larger volume has what it had, and zeroes behind") {
    const TestArray array("engine_resize");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("v", 3 * MiB));
        REQUIRE(e.create_volume("in_the_way", 3 * MiB));
        const Volume v = *e.open_volume("v");
        REQUIRE(v.write(0, bytes_of(3 * MiB, 1)));
        REQUIRE(e.open_volume("in_the_way")->write(0, bytes_of(3 * MiB, 2)));
        // In its last page of the table; in pages behind another volume; and once more.
        for (const std::uint64_t bytes : {4 * MiB, 9 * MiB, 13 * MiB + 4096}) {
            REQUIRE(e.resize_volume("v", bytes));
            CHECK(v.size_bytes() == bytes);
            CHECK(holds(v, 0, 3 * MiB, 1));
            CHECK(holds(v, 3 * MiB, bytes - 3 * MiB, 0));
        }
        REQUIRE(v.run(Op::write, 13 * MiB, 4096, bytes_of(4096, 3).data()));
        CHECK(refused(v.run(Op::write, 13 * MiB, 8192, bytes_of(8192, 3).data()),
                      Errc::invalid_argument));
        CHECK(e.stats().space.promised_bytes == 16 * MiB + 4096);
        // Smaller again, but with a part of the pages behind the other volume.
        REQUIRE(v.run(Op::write, 9 * MiB, 4096, bytes_of(4096, 4).data()));
        REQUIRE(e.resize_volume("v", 10 * MiB));
        CHECK(holds(v, 9 * MiB, 4096, 4));
        CHECK(holds(v, 0, 3 * MiB, 1));
        REQUIRE(v.run(Op::write, 10 * MiB - 4096, 4096, bytes_of(4096, 5).data()));
        CHECK(holds(*e.open_volume("in_the_way"), 0, 3 * MiB, 2));
        REQUIRE(e.resize_volume("v", 13 * MiB + 4096));
        CHECK(holds(v, 10 * MiB - 4096, 4096, 5));
        REQUIRE(v.run(Op::write, 13 * MiB, 4096, bytes_of(4096, 3).data()));
    });
    array.use([](Engine& e) {
        const Volume v = *e.open_volume("v");
        CHECK(v.size_bytes() == 13 * MiB + 4096);
        CHECK(holds(v, 0, 3 * MiB, 1));
        CHECK(holds(v, 13 * MiB, 4096, 3));
        CHECK(holds(*e.open_volume("in_the_way"), 0, 3 * MiB, 2));
    });
}

TEST_CASE("engine resize: what was cut off is zeroes when the volume grows again, and space") {
    const TestArray array("engine_resize");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("v", 8 * MiB));
        const Volume v = *e.open_volume("v");
        REQUIRE(v.write(0, bytes_of(8 * MiB, 1)));
        REQUIRE(e.resize_volume("v", 3 * MiB + 4096));
        CHECK(e.stats().space.used_bytes == 3 * MiB + 4096);
        CHECK(e.stats().space.promised_bytes == 3 * MiB + 4096);
        CHECK(refused(v.trim(769, 1), Errc::invalid_argument));
        // Its pages go to another volume, and are empty there.
        REQUIRE(e.create_volume("w", 4 * MiB));
        CHECK(holds(*e.open_volume("w"), 0, 4 * MiB, 0));
        REQUIRE(e.open_volume("w")->write(0, bytes_of(4 * MiB, 2)));
        REQUIRE(e.resize_volume("v", 8 * MiB));
        CHECK(holds(v, 0, 3 * MiB + 4096, 1));
        CHECK(holds(v, 3 * MiB + 4096, 5 * MiB - 4096, 0));
        CHECK(holds(*e.open_volume("w"), 0, 4 * MiB, 2));
        REQUIRE(v.write(0, bytes_of(8 * MiB, 3)));
        REQUIRE(e.resize_volume("v", 4096));
        REQUIRE(e.delete_volume("w"));
    });
    array.use([](Engine& e) {
        REQUIRE(e.resize_volume("v", 8 * MiB));
        const Volume v = *e.open_volume("v");
        CHECK(holds(v, 0, 4096, 3));
        CHECK(holds(v, 4096, 8 * MiB - 4096, 0));
        REQUIRE(e.finish_deletions());  // of w: begun in the opening before
        CHECK(e.stats().space.used_bytes == 4096);
    });
    CHECK(Engine::check(array.options)->problems_found == 0);
}

TEST_CASE("engine resize: what is refused changes nothing") {
    const TestArray array("engine_resize");
    array.use([](Engine& e) {
        const std::uint64_t writable = e.stats().space.writable_bytes;
        REQUIRE(e.create_volume("v", MiB));
        REQUIRE(e.create_volume("w", MiB));
        CHECK(refused(e.resize_volume("none", MiB), Errc::not_found));
        CHECK(refused(e.resize_volume("v", 0), Errc::invalid_argument));
        CHECK(refused(e.resize_volume("v", MiB + 512), Errc::invalid_argument));
        CHECK(refused(e.resize_volume("v", writable - MiB + 4096), Errc::no_space));
        CHECK(refused(e.resize_volume("v", ~std::uint64_t{4095}), Errc::no_space));
        CHECK(e.open_volume("v")->size_bytes() == MiB);
        CHECK(e.stats().space.promised_bytes == 2 * MiB);
        REQUIRE(e.resize_volume("v", writable - MiB));
        REQUIRE(e.resize_volume("v", writable - MiB));
        CHECK(e.stats().space.promised_bytes == writable);
    });
    Options reading = array.options;
    reading.read_only = true;
    auto engine = Engine::open(reading);
    REQUIRE(engine);
    CHECK(refused((*engine)->resize_volume("v", MiB), Errc::read_only));
}

TEST_CASE("engine resize: under load") {
    const TestArray array("engine_resize");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("v", 8 * MiB));
        const Volume v = *e.open_volume("v");
        std::atomic<bool> stop{false};
        std::atomic<int> wrong{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; ++t) {
            threads.emplace_back([&, t] {
                auto data = bytes_of(16384, t + 1);
                for (std::uint64_t i = 0; !stop; ++i) {
                    const std::uint64_t at = (i * 7 + static_cast<std::uint64_t>(t)) % 768 * 16384;
                    const Status done =
                        v.run(i % 3 == 0 ? Op::read : Op::write, at, data.size(), data.data());
                    if (!done && done.error().code != Errc::invalid_argument) ++wrong;
                    if (!done && at + data.size() <= 2 * MiB) ++wrong;  // never cut off
                }
            });
        }
        for (int i = 0; i < 60; ++i) {
            REQUIRE(e.resize_volume("v", 2 * MiB + static_cast<std::uint64_t>(i % 7) * 11 * 4096));
            REQUIRE(e.resize_volume("v", 12 * MiB));
        }
        stop = true;
        for (std::thread& thread : threads) thread.join();
        CHECK(wrong == 0);
        REQUIRE(e.resize_volume("v", 2 * MiB));
        REQUIRE(e.resize_volume("v", 12 * MiB));
        CHECK(holds(v, 2 * MiB, 10 * MiB, 0));
    });
    CHECK(Engine::check(array.options)->problems_found == 0);
}
