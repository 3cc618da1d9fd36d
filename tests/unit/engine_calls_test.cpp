// SPDX-License-Identifier: Apache-2.0
// Calls in an order, or from a thread, in which they can't do what they are for: after close(),
// while another thread closes, from a function that the engine calls, through handles that outlive
// the engine. None hangs or ends the process.
#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <optional>
#include <thread>

#include "test_array.h"

using namespace qlcshape;

namespace {

std::unique_ptr<Engine> open(const Options& options) {
    auto engine = Engine::open(options);
    if (!engine) FAIL(engine.error().message);
    return std::move(*engine);
}

Errc code_of(const Status& status) {
    REQUIRE(!status);
    return status.error().code;
}

// Runs `what` in a request's `done` and hands back what it returns.
template <class T>
T in_callback(const Volume& volume, const std::function<T()>& what) {
    std::promise<T> promise;
    const Status taken =
        volume.submit({Op::flush, 0, 0, nullptr, [&](Status) { promise.set_value(what()); }});
    REQUIRE(taken);
    auto future = promise.get_future();
    REQUIRE(future.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
    return future.get();
}

}  // namespace

TEST_CASE("engine calls: after close() each fails with closed or returns what is empty") {
    const TestArray array("calls_closed");
    auto engine = open(array.options);
    REQUIRE(engine->create_volume("v", MiB));
    const Volume volume = *engine->open_volume("v");
    REQUIRE(engine->close());
    CHECK(code_of(engine->create_volume("w", MiB)) == Errc::closed);
    CHECK(code_of(engine->resize_volume("v", 2 * MiB)) == Errc::closed);
    CHECK(code_of(engine->delete_volume("v")) == Errc::closed);
    CHECK(code_of(engine->finish_deletions()) == Errc::closed);
    CHECK(engine->open_volume("v").error().code == Errc::closed);
    CHECK(engine->holds_data("v").error().code == Errc::closed);
    CHECK(engine->volumes().empty());
    CHECK(engine->stats().array_name.empty());
    CHECK(!engine->read_only());
    CHECK(engine->close());
    auto block = bytes_of(4096, 1);
    for (const bool there : {true, false}) {
        CAPTURE(there);
        CHECK(code_of(volume.write(0, block)) == Errc::closed);
        CHECK(code_of(volume.read(0, block)) == Errc::closed);
        CHECK(code_of(volume.flush()) == Errc::closed);
        CHECK(code_of(volume.submit({Op::flush, 0, 0, nullptr, {}})) == Errc::closed);
        CHECK(volume.name() == "v");
        CHECK(volume.size_bytes() == MiB);
        engine.reset();
    }
    // What was closed can be opened while such a handle is kept.
    CHECK(open(array.options)->open_volume("v"));
}

TEST_CASE("engine calls: a handle that was moved from fails with closed") {
    const TestArray array("calls_moved");
    array.use([](Engine& engine) {
        REQUIRE(engine.create_volume("v", MiB));
        Volume from = *engine.open_volume("v");
        const Volume to = std::move(from);
        auto block = bytes_of(4096, 1);
        CHECK(code_of(from.write(0, block)) == Errc::closed);
        CHECK(code_of(from.submit({Op::flush, 0, 0, nullptr, {}})) == Errc::closed);
        CHECK(from.name().empty());
        CHECK(from.size_bytes() == 0);
        CHECK(from.blocks() == 0);
        CHECK(to.write(0, block));
    });
}

TEST_CASE("engine calls: all calls while another thread closes") {
    const TestArray array("calls_race");
    for (int round = 0; round < 20; ++round) {
        auto engine = open(array.options);
        if (round == 0) REQUIRE(engine->create_volume("v", MiB));
        const Volume volume = *engine->open_volume("v");
        std::atomic<bool> closed{false};
        std::vector<std::thread> threads;
        const auto repeat = [&](std::function<void()> call) {
            threads.emplace_back([&closed, call] {
                for (int after = 0; after < 10; after += closed ? 1 : 0) call();
            });
        };
        repeat([&] { static_cast<void>(engine->stats()); });
        repeat([&] { static_cast<void>(engine->volumes()); });
        repeat([&] { static_cast<void>(engine->open_volume("v")); });
        repeat([&] {
            static_cast<void>(engine->resize_volume("v", MiB));
            static_cast<void>(engine->finish_deletions());
        });
        repeat([&] {
            auto block = bytes_of(4096, 1);
            static_cast<void>(volume.write(0, block));
            static_cast<void>(volume.read(0, block));
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(round % 4));
        Status by_second;
        std::thread second([&] { by_second = engine->close(); });
        const Status by_first = engine->close();
        closed = true;
        second.join();
        CHECK(by_first);
        CHECK(by_second);
        for (std::thread& thread : threads) thread.join();
    }
}

TEST_CASE("engine calls: what waits is refused in a function that the engine calls") {
    const TestArray array("calls_callback");
    array.use([](Engine& engine) {
        REQUIRE(engine.create_volume("v", MiB));
        const Volume volume = *engine.open_volume("v");
        auto block = bytes_of(4096, 1);
        const std::function<Status()> calls[] = {
            [&] { return volume.read(0, block); },
            [&] { return volume.write(0, block); },
            [&] { return volume.trim(0, 1); },
            [&] { return volume.write_zeroes(0, 1); },
            [&] { return volume.flush(); },
            [&] {
                std::uint8_t mapped[1];
                return volume.mapped(0, mapped);
            },
            [&] { return engine.create_volume("w", MiB); },
            [&] { return engine.resize_volume("v", 2 * MiB); },
            [&] { return engine.delete_volume("v"); },
            [&] { return engine.finish_deletions(); },
            [&] { return engine.close(); },
        };
        for (const auto& call : calls) {
            const Status refused = in_callback<Status>(volume, call);
            CHECK(code_of(refused) == Errc::invalid_argument);
            CHECK(refused.error().message.find("would wait for itself") != std::string::npos);
        }
        // What doesn't wait is done.
        CHECK(in_callback<bool>(volume, [&] {
            return engine.open_volume("v") && engine.volumes().size() == 1 &&
                   !engine.stats().array_name.empty() &&
                   volume.submit({Op::flush, 0, 0, nullptr, {}});
        }));
        CHECK(volume.write(0, block));
    });
}

TEST_CASE("engine calls: what waits is refused in the log") {
    TestArray array("calls_log");
    std::promise<Errc> refused;  // in another thread, maybe after delete_volume() has returned
    Engine* engine = nullptr;
    array.options.log = [&](LogLevel, const std::string& message) {
        if (message.ends_with("deleted")) refused.set_value(code_of(engine->close()));
    };
    array.use([&](Engine& e) {
        engine = &e;
        REQUIRE(e.create_volume("v", MiB));
        REQUIRE(e.delete_volume("v"));
        auto code = refused.get_future();
        REQUIRE(code.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
        CHECK(code.get() == Errc::invalid_argument);
    });
}

TEST_CASE("engine calls: an engine that ends in a callback is closed by another thread") {
    const TestArray array("calls_ended");
    auto engine = open(array.options);
    REQUIRE(engine->create_volume("v", MiB));
    const Volume volume = *engine->open_volume("v");
    CHECK(in_callback<bool>(volume, [&] {
        engine.reset();
        return true;
    }));
    // Until then the devices are busy.
    for (int i = 0; i < 6000; ++i) {
        if (auto again = Engine::open(array.options)) {
            CHECK((*again)->stats().recovery.kind == "clean");
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL("it was not closed");
}
