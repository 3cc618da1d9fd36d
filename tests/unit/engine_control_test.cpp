// SPDX-License-Identifier: Apache-2.0
// An open array asked by another process: here by the same one, by way of the same socket.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "admin/control_socket.h"
#include "admin/holder.h"
#include "admin/stats_json.h"
#include "device/medium.h"
#include "test_array.h"

using namespace qlcshape;

namespace {

std::string ask_raw(const TestArray& array, const std::string& request) {
    const std::string medium = medium_of(array.options.devices.back().path);
    const auto socket = connect_to(medium);
    REQUIRE(socket);
    static_cast<void>(socket->send(medium + "\n" + request));
    return socket->receive(1 << 20).value_or("an error");
}

}  // namespace

TEST_CASE("engine control: volumes are made, resized and deleted from outside") {
    const TestArray array("control");
    array.use([&](Engine& e) {
        const auto holder = Holder::of(array.options);
        REQUIRE(holder);
        REQUIRE(holder->create_volume("v0", 4 * MiB));
        REQUIRE(e.open_volume("v0")->write(0, bytes_of(4 * MiB, 7)));
        REQUIRE(holder->resize_volume("v0", 2 * MiB));
        REQUIRE(holder->create_volume("v1", MiB));
        REQUIRE(holder->delete_volume("v1"));
        CHECK(e.volumes().size() == 1);
        CHECK(e.open_volume("v0")->size_bytes() == 2 * MiB);
        check_refused(holder->create_volume("v0", MiB), Errc::exists, "v0");
        check_refused(holder->create_volume("v2", 1), Errc::invalid_argument, "multiple of 4 KiB");
        check_refused(holder->create_volume("v2", 1024 * GiB), Errc::no_space, "unallocated");
        check_refused(holder->delete_volume("v2"), Errc::not_found, "v2");
        check_refused(holder->resize_volume("v2", MiB), Errc::not_found, "v2");
    });
    array.use([](Engine& e) { CHECK(e.open_volume("v0")->size_bytes() == 2 * MiB); });
}

TEST_CASE("engine control: what is in use is not taken away from outside") {
    const TestArray array("control_use");
    array.use([&](Engine& e) {
        REQUIRE(e.create_volume("v0", 4 * MiB));
        const auto holder = Holder::of(array.options);
        REQUIRE(holder);
        {
            const Volume used = *e.open_volume("v0");
            check_refused(holder->delete_volume("v0"), Errc::busy, "in use");
            check_refused(holder->resize_volume("v0", 4 * MiB - 4096), Errc::busy, "its end");
            REQUIRE(holder->resize_volume("v0", 6 * MiB));
            CHECK(used.size_bytes() == 6 * MiB);
        }
        REQUIRE(holder->resize_volume("v0", MiB));
        REQUIRE(holder->delete_volume("v0"));
    });
}

TEST_CASE("engine control: statistics are those of now") {
    const TestArray array("control_stats");
    array.use([&](Engine& e) {
        REQUIRE(e.create_volume("v0", 4 * MiB));
        REQUIRE(e.open_volume("v0")->write(0, bytes_of(MiB, 1)));
        const auto holder = Holder::of(array.options);
        REQUIRE(holder);
        const auto told = holder->stats();
        REQUIRE(told);
        CHECK(told->live);
        CHECK(told->state == "open");
        CHECK(told->bytes.user_written == MiB);
        CHECK(told->latency.write.count == 1);
        CHECK(told->devices.size() == array.options.devices.size());
        const auto again = stats_from_json(to_json(*told));
        REQUIRE(again);
        CHECK(to_json(*again) == to_json(*told));
        const auto inspected = Engine::inspect(array.options);
        REQUIRE(inspected);
        CHECK(inspected->live);
        CHECK(inspected->bytes.user_written == MiB);
    });
    // Of an older or newer version: what only one side knows has its default.
    const auto older = stats_from_json(R"({"array_uuid": "u", "epoch": 7, "new": 1})");
    REQUIRE(older);
    CHECK(older->epoch == 7);
    CHECK(older->volumes.empty());
    CHECK_FALSE(stats_from_json("{}"));
    CHECK_FALSE(stats_from_json("done"));
    const auto closed = Engine::inspect(array.options);
    REQUIRE(closed);
    CHECK_FALSE(closed->live);
    CHECK(closed->space.used_bytes == MiB);
}

TEST_CASE("engine control: nobody answers for a closed array") {
    const TestArray array("control_closed");
    CHECK(Holder::of(array.options).error().code == Errc::not_found);
    array.use([&](Engine&) { CHECK(Holder::of(array.options)); });
    CHECK(Holder::of(array.options).error().code == Errc::not_found);
}

TEST_CASE("engine control: a request that is none changes nothing") {
    const TestArray array("control_none");
    std::vector<Socket> idle;
    array.use([&](Engine& e) {
        REQUIRE(e.create_volume("v0", MiB));
        for (const char* const request :
             {"", "delete", "delete\n", "create v1", "create v1 -1", "resize v0 0", "resize v0 x",
              "format v0", "\n", "stats v0", "delete v0 old", "delete v0\n", "delete v0 ",
              "create v1 4096 4096", "create v1 4096x", "resize v0 8192 "}) {
            INFO(request);
            CHECK_FALSE(ask_raw(array, request).starts_with("done"));
        }
        CHECK_FALSE(ask_raw(array, std::string(MiB, 'x')).starts_with("done"));
        CHECK(e.volumes().size() == 1);
        CHECK(e.volumes().front().bytes == MiB);
        // Others that say nothing are in nobody's way.
        for (int i = 0; i < 10; ++i) {
            idle.push_back(std::move(*connect_to(medium_of(array.options.devices.front().path))));
        }
        CHECK(Holder::of(array.options)->stats());
    });
}
