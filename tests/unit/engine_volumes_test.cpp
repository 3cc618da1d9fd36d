// SPDX-License-Identifier: Apache-2.0
// Volumes, what is refused, and what is counted.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "test_array.h"

using namespace qlcshape;

namespace {

bool reads_as(const Volume& v, std::uint64_t lba, std::uint64_t bytes, int value) {
    std::vector<std::byte> read(bytes, std::byte{0xcc});
    const Status done = v.read(lba, read);
    if (!done) FAIL(done.error().message);
    return read == bytes_of(bytes, value);
}

}  // namespace

TEST_CASE("engine volumes: the block device that one is offered as is shown while it is open") {
    const TestArray array("engine_volumes_device");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("v", MiB));
        REQUIRE(e.create_volume("w", MiB));
        e.open_volume("v")->set_device("/dev/ublkb3");
        CHECK(e.stats().volumes.at(0).device == "/dev/ublkb3");
        CHECK(e.stats().volumes.at(1).device.empty());
        CHECK(e.volumes().at(0).device == "/dev/ublkb3");
        const std::string metrics = to_prometheus(e.stats());
        CHECK(metrics.find("volume_block_device{array=\"engine_volumes_device\",volume=\"v\","
                           "device=\"/dev/ublkb3\"} 1") != std::string::npos);
        CHECK(metrics.find("volume=\"w\",device") == std::string::npos);
    });
    CHECK(Engine::inspect(array.options)->volumes.at(0).device.empty());
}

TEST_CASE("engine volumes: each has its own blocks") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        for (int i = 1; i <= 5; ++i) {
            const std::string name = "v" + std::to_string(i);
            REQUIRE(e.create_volume(name, 3 * MiB + 4096));
            REQUIRE(e.open_volume(name)->write(0, bytes_of(3 * MiB + 4096, i)));
        }
        for (int i = 1; i <= 5; ++i) {
            CHECK(reads_as(*e.open_volume("v" + std::to_string(i)), 0, 3 * MiB + 4096, i));
        }
        // A hole of two, and a volume that fills it and goes on behind.
        REQUIRE(e.delete_volume("v2"));
        REQUIRE(e.delete_volume("v4"));
        REQUIRE(e.finish_deletions());
        REQUIRE(e.create_volume("pieces", 12 * MiB));
        const Volume pieces = *e.open_volume("pieces");
        CHECK(reads_as(pieces, 0, 12 * MiB, 0));
        REQUIRE(pieces.write(0, bytes_of(12 * MiB, 9)));
    });
    array.use([](Engine& e) {
        CHECK(e.volumes().size() == 4);
        CHECK(reads_as(*e.open_volume("pieces"), 0, 12 * MiB, 9));
        for (const int i : {1, 3, 5}) {
            CHECK(reads_as(*e.open_volume("v" + std::to_string(i)), 0, 3 * MiB + 4096, i));
        }
        REQUIRE(e.open_volume("pieces")->trim(0, 12 * MiB / 4096));
        CHECK(reads_as(*e.open_volume("pieces"), 0, 12 * MiB, 0));
        for (const int i : {1, 3, 5}) {
            CHECK(reads_as(*e.open_volume("v" + std::to_string(i)), 0, 3 * MiB + 4096, i));
        }
    });
}

TEST_CASE("engine volumes: names and sizes that are refused") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        const std::uint64_t writable = e.stats().space.writable_bytes;
        check_refused(e.create_volume("", MiB), Errc::invalid_argument);
        check_refused(e.create_volume(std::string(64, 'v'), MiB), Errc::invalid_argument, "63");
        check_refused(e.create_volume("a b", MiB), Errc::invalid_argument, "a b");
        check_refused(e.create_volume("a/b", MiB), Errc::invalid_argument);
        check_refused(e.create_volume("v", 0), Errc::invalid_argument, "v");
        check_refused(e.create_volume("v", 4095), Errc::invalid_argument, "4095");
        check_refused(e.create_volume("v", writable + 4096), Errc::no_space,
                      std::to_string(writable));
        check_refused(e.create_volume("v", ~std::uint64_t{4095}), Errc::no_space);
        CHECK(e.volumes().empty());
        REQUIRE(e.create_volume(std::string(63, 'v'), 4096));
        check_refused(e.create_volume(std::string(63, 'v'), 4096), Errc::exists);
        REQUIRE(e.create_volume("rest", writable - 4096));
        check_refused(e.create_volume("more", 4096), Errc::no_space);
        CHECK(e.stats().space.promised_bytes == writable);
        check_refused(e.delete_volume("none"), Errc::not_found, "none");
        CHECK_FALSE(e.open_volume("none"));
        CHECK(e.open_volume("none").error().code == Errc::not_found);
    });
    array.use([](Engine& e) {
        CHECK(e.volumes().size() == 2);
        REQUIRE(e.delete_volume("rest"));
        REQUIRE(e.create_volume("rest", MiB));
    });
}

TEST_CASE("engine volumes: as many as there may be") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        for (int i = 0; i < 128; ++i) REQUIRE(e.create_volume("v" + std::to_string(i), 4096));
        check_refused(e.create_volume("one_more", 4096), Errc::no_space, "128");
        REQUIRE(e.open_volume("v127")->write(0, bytes_of(4096, 7)));
    });
    array.use([](Engine& e) {
        CHECK(e.volumes().size() == 128);
        CHECK(reads_as(*e.open_volume("v127"), 0, 4096, 7));
        CHECK(reads_as(*e.open_volume("v126"), 0, 4096, 0));
    });
}

TEST_CASE("engine volumes: requests that are refused") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("v", MiB));
        const Volume v = *e.open_volume("v");
        auto data = bytes_of(8192, 1);
        const Errc invalid = Errc::invalid_argument;
        check_refused(v.read(256, data), invalid, "v");
        check_refused(v.read(255, data), invalid);
        check_refused(v.write(255, data), invalid);
        check_refused(v.trim(255, 2), invalid);
        check_refused(v.trim(0, ~std::uint64_t{0}), invalid);
        check_refused(v.run(Op::write_zeroes, MiB - 512, 1024, nullptr), invalid);
        check_refused(v.run(Op::read, ~std::uint64_t{511}, 1024, data.data()), invalid);
        check_refused(v.run(Op::read, 100, 512, data.data()), invalid, "512");
        check_refused(v.run(Op::write, 512, 100, data.data()), invalid);
        check_refused(v.run(Op::trim, 1, 4096, nullptr), invalid);
        check_refused(v.run(Op::write, 0, 512, nullptr), invalid);
        check_refused(v.run(Op::read, 0, 512, nullptr), invalid);
        CHECK(v.read(254, data));
        CHECK(data == bytes_of(8192, 0));
        CHECK(e.stats().bytes.user_written == 0);
    });
}

TEST_CASE("engine volumes: a handle to a deleted volume fails") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("v", MiB));
        const Volume v = *e.open_volume("v");
        REQUIRE(v.write(0, bytes_of(MiB, 1)));
        REQUIRE(e.delete_volume("v"));
        auto data = bytes_of(4096, 1);
        check_refused(v.read(0, data), Errc::not_found, "v");
        check_refused(v.write(0, data), Errc::not_found, "v");
        check_refused(v.flush(), Errc::not_found, "v");
        // Nor does it lead to a new one of its name, which begins empty.
        REQUIRE(e.create_volume("v", MiB));
        check_refused(v.write(0, data), Errc::not_found, "v");
        CHECK(reads_as(*e.open_volume("v"), 0, MiB, 0));
    });
}

TEST_CASE("engine volumes: which blocks are mapped") {
    const TestArray array("engine_volumes");
    std::vector<std::uint8_t> expected(5 * MiB / 4096, 0);
    const auto check_map = [&](const Volume& v) {
        std::vector<std::uint8_t> map(expected.size(), 0xcc);
        REQUIRE(v.mapped(0, map));
        CHECK(map == expected);
        REQUIRE(v.mapped(510, std::span(map).first(5)));  // over the end of a page of the table
        CHECK(std::equal(map.begin(), map.begin() + 5, expected.begin() + 510));
    };
    array.use([&](Engine& e) {
        REQUIRE(e.create_volume("v", 5 * MiB));
        const Volume v = *e.open_volume("v");
        check_map(v);
        // In RAM, in part of a block, over a page's end, and to the volume's end.
        REQUIRE(v.run(Op::write, 3 * 4096 + 512, 512, bytes_of(512, 1).data()));
        REQUIRE(v.write(500, bytes_of(MiB, 2)));
        REQUIRE(v.write(1279, bytes_of(4096, 3)));
        REQUIRE(v.trim(512, 100));
        REQUIRE(v.run(Op::write_zeroes, 700 * 4096 + 512, 18 * 4096, nullptr));
        REQUIRE(v.run(Op::write_zeroes, 720 * 4096 + 512, 8192, nullptr));  // atomic, so written
        expected[3] = expected[1279] = 1;
        std::fill_n(expected.begin() + 500, 12, std::uint8_t{1});
        std::fill_n(expected.begin() + 612, 144, std::uint8_t{1});
        std::fill_n(expected.begin() + 701, 17, std::uint8_t{0});
        check_map(v);
        std::vector<std::uint8_t> map(2);
        check_refused(v.mapped(1279, map), Errc::invalid_argument, "v");
        check_refused(v.run(Op::mapped, 512, 4096, map.data()), Errc::invalid_argument, "4096");
        check_refused(v.run(Op::mapped, 0, 4096, nullptr), Errc::invalid_argument);
    });
    array.use([&](Engine& e) { check_map(*e.open_volume("v")); });
    Options reading = array.options;
    reading.read_only = true;
    auto engine = Engine::open(reading);
    REQUIRE(engine);
    check_map(*(*engine)->open_volume("v"));
}

TEST_CASE("engine volumes: space is used by what is written and comes back") {
    const TestArray array("engine_volumes");
    auto used = [&](const std::function<void(Engine&)>& what) {
        array.use(what);
        return Engine::inspect(array.options)->space.used_bytes;
    };
    CHECK(used([](Engine& e) {
              REQUIRE(e.create_volume("a", 8 * MiB));
              REQUIRE(e.create_volume("b", 4 * MiB));
              CHECK(e.stats().space.used_bytes == 0);
              CHECK(e.stats().space.promised_bytes == 12 * MiB);
          }) == 0);
    CHECK(used([](Engine& e) {
              REQUIRE(e.open_volume("a")->write(0, bytes_of(6 * MiB, 1)));
              REQUIRE(e.open_volume("b")->write(5, bytes_of(512, 2)));
          }) == 6 * MiB + 4096);
    CHECK(used([](Engine& e) {
              REQUIRE(e.open_volume("a")->write(0, bytes_of(3 * MiB, 3)));
              CHECK(e.stats().space.used_bytes == 6 * MiB + 4096);
          }) == 6 * MiB + 4096);
    CHECK(used([](Engine& e) {
              const Volume a = *e.open_volume("a");
              REQUIRE(a.trim(0, 512));
              CHECK(e.stats().space.used_bytes == 4 * MiB + 4096);
              REQUIRE(a.trim(0, 512));
              REQUIRE(a.write_zeroes(512, 1));
              REQUIRE(a.trim(1800, 100));
          }) == 4 * MiB);
    CHECK(used([](Engine& e) {
              REQUIRE(e.delete_volume("a"));
              REQUIRE(e.finish_deletions());
              CHECK(e.stats().space.used_bytes == 4096);
              CHECK(e.stats().space.promised_bytes == 4 * MiB);
          }) == 4096);
    CHECK(used([](Engine& e) {
              REQUIRE(e.delete_volume("b"));
              REQUIRE(e.finish_deletions());
          }) == 0);
    // Written and trimmed before it came to the drives.
    CHECK(used([](Engine& e) {
              REQUIRE(e.create_volume("a", MiB));
              const Volume a = *e.open_volume("a");
              for (int i = 0; i < 20; ++i) {
                  REQUIRE(a.write(3, bytes_of(4096, i)));
                  REQUIRE(a.trim(3, 1));
              }
          }) == 0);
}

TEST_CASE("engine volumes: a deletion that a close cut short goes on at the next opening") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("a", 8 * MiB));
        REQUIRE(e.open_volume("a")->write(0, bytes_of(8 * MiB, 1)));
        REQUIRE(e.delete_volume("a"));
        CHECK(e.volumes().empty());
        REQUIRE(e.create_volume("a", MiB));  // the name is free at once
        CHECK(reads_as(*e.open_volume("a"), 0, MiB, 0));
    });
    CHECK(Engine::inspect(array.options)->volumes.size() == 1);
    array.use([](Engine& e) {
        REQUIRE(e.finish_deletions());
        CHECK(e.stats().space.promised_bytes == MiB);
        CHECK(e.stats().space.used_bytes == 0);
        // What needs the space of a deleted volume waits for it.
        const std::uint64_t writable = e.stats().space.writable_bytes;
        REQUIRE(e.create_volume("rest", writable - MiB));
        REQUIRE(e.open_volume("rest")->write(0, bytes_of(8 * MiB, 2)));
        REQUIRE(e.delete_volume("rest"));
        REQUIRE(e.resize_volume("a", writable));
        CHECK(reads_as(*e.open_volume("a"), 0, 8 * MiB, 0));
        CHECK(e.stats().space.used_bytes == 0);
    });
    CHECK(Engine::check(array.options)->problems_found == 0);
}

TEST_CASE("engine volumes: the whole of what may be promised can be written") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        const std::uint64_t writable = e.stats().space.writable_bytes;
        REQUIRE(e.create_volume("all", writable));
        const Volume v = *e.open_volume("all");
        for (int round = 1; round <= 3; ++round) {
            for (std::uint64_t at = 0; at < writable; at += MiB) {
                const std::uint64_t n = std::min(MiB, writable - at);
                REQUIRE(v.write(at / 4096, bytes_of(n, round)));
            }
        }
        for (std::uint64_t at = 0; at < writable; at += MiB) {
            REQUIRE(reads_as(v, at / 4096, std::min(MiB, writable - at), 3));
        }
    });
    CHECK(Engine::check(array.options)->problems_found == 0);
}

TEST_CASE("engine stats: plausible in every field") {
    const TestArray array("engine_volumes");
    array.use([](Engine& e) {
        REQUIRE(e.create_volume("v", 8 * MiB));
        const Volume v = *e.open_volume("v");
        REQUIRE(v.write(0, bytes_of(4 * MiB, 1)));
        for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(v.write(i, bytes_of(4096, 2)));
        REQUIRE(v.trim(200, 56));
        REQUIRE(reads_as(v, 0, 4096, 2));
        const Stats s = e.stats();
        CHECK(s.array_name == "engine_volumes");
        CHECK(s.array_uuid.size() == 36);
        CHECK(s.state == "open");
        CHECK(s.epoch == 1);
        CHECK(s.recovery.kind == "clean");
        CHECK(s.bytes.user_written == 4 * MiB + 100 * 4096);
        CHECK(s.bytes.user_read == 4096);
        CHECK(s.bytes.user_trimmed == 56 * 4096);
        CHECK(s.bytes.tps_written >= 100 * 4096);
        CHECK(s.bytes.band_table_written > 0);
        CHECK(s.latency.write.count == 101);
        CHECK(s.latency.read.count == 1);
        CHECK(s.latency.write.p50 > 0);
        CHECK(s.latency.write.p50 <= s.latency.write.p99);
        CHECK(s.latency.write.p99 <= s.latency.write.p999);
        CHECK(s.latency.write.p50 <= s.latency.write.max * 1.04);
        CHECK(s.bands.total == s.bands.free + s.bands.open + s.bands.closed);
        CHECK(s.bands.open >= 1);
        CHECK(s.bands.reserve > 0);
        CHECK(s.space.writable_bytes + s.space.spare_bytes < s.space.raw_bytes);
        CHECK(s.pmt.hits + s.pmt.misses > 0);
        CHECK(s.memory.pmt_cache >= MiB);
        CHECK(s.memory.segments > 0);
        CHECK(s.memory.overlay > 0);
        CHECK(s.memory.band_table > 0);
        CHECK(s.memory.requests > 0);
        CHECK(s.memory.gc > 0);
        CHECK(s.errors.verify_failed + s.errors.unreadable + s.errors.commit_retries == 0);
        REQUIRE(s.devices.size() == 6);
        for (const DeviceStatus& d : s.devices) {
            CHECK(d.state == "online");
            CHECK(d.role == (d.path.back() < '4' ? "qlc" : "scm"));
            CHECK(d.errors == 0);
            CHECK(d.uuid.size() == 36);
        }
        REQUIRE(s.volumes.size() == 1);
        CHECK(s.volumes[0].name == "v");
        CHECK(s.volumes[0].bytes == 8 * MiB);
    });
    const auto closed = Engine::inspect(array.options);
    REQUIRE(closed);
    CHECK(closed->state == "clean");
    CHECK(closed->bytes.user_written == 4 * MiB + 100 * 4096);
    CHECK(closed->waf_total >= 2);
    CHECK(closed->waf_total < 6);
    // All of it came to the drives: as blocks, headers, padding and parity of whole stripes.
    const auto& b = closed->bytes;
    CHECK(b.qlc_data <= b.user_written);
    CHECK((b.qlc_data + b.qlc_gc + b.qlc_header + b.qlc_padding) % (128 * KiB) == 0);
    CHECK(b.qlc_parity == b.qlc_data + b.qlc_gc + b.qlc_header + b.qlc_padding);
    CHECK(b.pmt_written > 0);
    array.use([](Engine& e) {
        CHECK(e.stats().bytes.user_written == 4 * MiB + 100 * 4096);
        CHECK(e.stats().epoch == 2);
        CHECK(e.stats().latency.write.count == 0);
    });
}
