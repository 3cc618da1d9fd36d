// SPDX-License-Identifier: Apache-2.0
// Opening an array whose devices are not what they should be: each case has an error of its own,
// which names the device. And superblocks over many changes.
#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "admin/control_socket.h"
#include "base/buffer.h"
#include "device/device.h"
#include "device/medium.h"
#include "format/bits.h"
#include "qlcshape/engine.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kQlcBytes = 24 * MiB;
constexpr std::uint64_t kScmBytes = 16 * MiB;
constexpr std::uint64_t kRecordBytes = 128 * KiB;
constexpr std::uint64_t kQlcUnitBytes = 512 * KiB;
constexpr std::uint64_t kScmUnitBytes = 2 * MiB;

// Devices q0 to q3, s0 and s1, under names of their own; gone when the test is.
struct TestArray {
    Options options;
    std::string prefix;
    std::set<std::string> paths;

    explicit TestArray(const std::string& name = "a",
                       const std::string& where = "memory:discovery_")
        : prefix(where + name + "_") {
        options.name = name;
        options.data_strips = 2;
        options.strip_bytes = 64 * KiB;
        options.band_bytes = kQlcUnitBytes;
        options.pmt_cache_bytes = 64 * KiB;
        for (int i = 0; i < 6; ++i) {
            const bool qlc = i < 4;
            const std::string device = (qlc ? "q" : "s") + std::to_string(qlc ? i : i - 4);
            options.devices.push_back(
                {qlc ? Role::qlc : Role::scm, path(device), qlc ? kQlcBytes : kScmBytes});
        }
        const Status created = Engine::create(options);
        if (!created) FAIL(created.error().message);
    }
    ~TestArray() {
        for (const std::string& p : paths) forget_memory_device(p);
    }
    std::string path(const std::string& device) {
        paths.insert(prefix + device);
        return prefix + device;
    }
    void replace(const std::string& device, const std::string& other_path) {
        for (DeviceOptions& d : options.devices) {
            if (d.path == path(device)) d.path = other_path;
        }
    }
    void drop(const std::string& device) {
        std::erase_if(options.devices, [&](const auto& d) { return d.path == path(device); });
    }
    void use(const std::function<void(Engine&)>& what = [](Engine&) {}) const {
        auto engine = Engine::open(options);
        if (!engine) FAIL(engine.error().message);
        what(**engine);
        const Status closed = (*engine)->close();
        if (!closed) FAIL(closed.error().message);
    }
    void use_without(const std::string& device) {
        drop(device);
        use([&](Engine& e) {
            CHECK(e.stats().health == (device[0] == 'q' ? "degraded" : "unprotected"));
        });
    }
    Error refused() const {
        auto engine = Engine::open(options);
        REQUIRE_FALSE(engine);
        INFO(engine.error().message);
        // A look tells of what can be read, and what is wrong with it.
        auto inspected = Engine::inspect(options);
        if (inspected)
            CHECK(inspected->health == "failed");
        else
            CHECK(inspected.error().code == engine.error().code);
        return engine.error();
    }
};

void transfer(IoKind kind, const std::string& path, std::uint64_t offset, const Buffer& data) {
    auto device = open_device(path, offset + data.size(), Access::read_write, true);
    if (!device) device = open_device(path, 0, Access::read_write, false);
    REQUIRE(device);
    IoQueue queue;
    Io io;
    io.kind = kind;
    io.device = device->get();
    io.offset = offset;
    io.bytes = data.size();
    io.data = data.data();
    REQUIRE(run(queue, io));
}

Buffer read_device(const std::string& path, std::uint64_t bytes) {
    Buffer data(bytes);
    transfer(IoKind::read, path, 0, data);
    return data;
}

void write_device(const std::string& path, const Buffer& data) {
    transfer(IoKind::write, path, 0, data);
}

// Flips a byte of every superblock record, `at` bytes behind its start.
void spoil_records(const std::string& path, std::uint64_t unit_bytes, std::uint64_t at) {
    const Buffer units = read_device(path, 2 * unit_bytes);
    for (std::uint64_t i = at; i < units.size(); i += kRecordBytes) units.data()[i] ^= std::byte{8};
    write_device(path, units);
}

void check(const Error& error, Errc code, const std::string& names) {
    INFO(error.message);
    CHECK(error.code == code);
    CHECK(error.message.find(names) != std::string::npos);
}

}  // namespace

TEST_CASE("discovery: devices in any order") {
    TestArray a;
    a.use([](Engine& e) { REQUIRE(e.create_volume("v", MiB)); });
    std::swap(a.options.devices[0], a.options.devices[3]);
    std::swap(a.options.devices[4], a.options.devices[5]);
    std::swap(a.options.devices[1], a.options.devices[5]);
    a.use([](Engine& e) { CHECK(e.volumes().size() == 1); });
}

TEST_CASE("discovery: a device of another array") {
    TestArray a("a");
    TestArray b("b");
    const std::string device = GENERATE("q2", "s0");
    a.replace(device, b.path(device));
    const Error error = a.refused();
    check(error, Errc::foreign_device, b.path(device));
    CHECK(error.message.find("(b)") != std::string::npos);
    b.use();
}

TEST_CASE("discovery: a device that missed an open and a close") {
    TestArray a;
    const std::string device = GENERATE("q1", "s1");
    const Buffer old = read_device(a.path(device), device[0] == 'q' ? kQlcBytes : kScmBytes);
    a.use();
    write_device(a.path(device), old);
    check(a.refused(), Errc::stale_device, a.path(device));
    a.use_without(device);
}

TEST_CASE("discovery: all superblocks of a device damaged") {
    TestArray a;
    a.use();
    const std::string device = GENERATE("q0", "q3", "s0");
    const std::uint64_t at = GENERATE(100u, 4196u);
    const bool qlc = device[0] == 'q';
    spoil_records(a.path(device), qlc ? kQlcUnitBytes : kScmUnitBytes, at);
    const Error error = a.refused();
    check(error, Errc::damaged, a.path(device));
    CHECK(error.message.find("remove it") != std::string::npos);
    a.use_without(device);
}

TEST_CASE("discovery: the first superblock of each device damaged") {
    TestArray a;
    a.use([](Engine& e) { REQUIRE(e.create_volume("v", MiB)); });
    for (const DeviceOptions& d : a.options.devices) {
        if (d.path == a.path("q2")) continue;
        const Buffer block = read_device(d.path, kBlockBytes);
        block.data()[50] ^= std::byte{1};
        write_device(d.path, block);
    }
    // One that tells where to look is enough.
    a.use([](Engine& e) { CHECK(e.volumes().size() == 1); });
}

// A write that went to the wrong drive: there it must not pass for the other drive's own.
TEST_CASE("discovery: superblocks of one device on another") {
    TestArray a;
    const std::string other = GENERATE("q1", "s0");
    a.use([](Engine& e) { REQUIRE(e.create_volume("v", MiB)); });
    // Each has the other's newest, so that no device is there twice.
    std::map<std::string, std::uint64_t> at;
    for (const std::string& path : {a.path("q0"), a.path(other)}) {
        const Buffer unit = read_device(path, kQlcUnitBytes);
        std::uint64_t newest = 0;
        for (std::uint64_t i = 0; i < unit.size(); i += kRecordBytes) {
            const auto generation = load<std::uint64_t>(unit.data() + i + 80);
            if (generation > newest) at[path] = i, newest = generation;
        }
    }
    Buffer first = read_device(a.path("q0"), kQlcUnitBytes);
    Buffer second = read_device(a.path(other), kQlcUnitBytes);
    std::byte* one = first.data() + at[a.path("q0")];
    std::swap_ranges(one, one + kRecordBytes, second.data() + at[a.path(other)]);
    write_device(a.path("q0"), first);
    write_device(a.path(other), second);
    check(a.refused(), Errc::damaged, a.path("q0"));
}

TEST_CASE("discovery: a device that is blank") {
    TestArray a;
    const std::string device = GENERATE("q0", "s0", "s1");
    const std::string blank = a.path("blank");
    write_device(blank, Buffer(device[0] == 'q' ? kQlcBytes : kScmBytes));
    a.replace(device, blank);
    check(a.refused(), Errc::foreign_device, blank);
}

TEST_CASE("discovery: nothing but blank devices, and none at all") {
    TestArray a;
    a.options.devices.clear();
    check(a.refused(), Errc::invalid_argument, "no device");
    const std::string blank = a.path("blank");
    write_device(blank, Buffer(kScmBytes));
    a.options.devices.push_back({Role::qlc, blank, 0});
    check(a.refused(), Errc::foreign_device, blank);
    a.options.devices = {{Role::qlc, a.path("never_made"), 0}};
    check(a.refused(), Errc::missing_device, a.path("never_made"));
}

TEST_CASE("discovery: an scm device is missing that has the only copy of pages of the table") {
    TestArray a;
    for (const DeviceOptions& d : a.options.devices) forget_memory_device(d.path);
    a.options.pmt_copies = 1;
    REQUIRE(Engine::create(a.options));
    const bool gone = GENERATE(false, true);
    if (gone) {
        forget_memory_device(a.path("s1"));
    } else {
        a.drop("s1");
    }
    const Error error = a.refused();
    check(error, Errc::missing_device, gone ? a.path("s1") : "scm drive 1");
}

TEST_CASE("discovery: one or two or three qlc devices are missing") {
    TestArray a;
    a.use([](Engine& e) { REQUIRE(e.create_volume("v", MiB)); });
    forget_memory_device(a.path("q1"));
    for (int missing = 1; missing <= 2; ++missing) {
        if (missing == 2) a.drop("q3");
        a.use([&](Engine& e) {
            CHECK_FALSE(e.read_only());
            auto v = e.open_volume("v");
            REQUIRE(v);
            const Buffer block(kBlockBytes);
            std::memset(block.data(), missing, kBlockBytes);
            REQUIRE(v->write(0, block.span()));
            REQUIRE(v->trim(1, 1));
            REQUIRE(e.create_volume("w", MiB));
            REQUIRE(e.delete_volume("w"));
            std::memset(block.data(), 0, kBlockBytes);
            REQUIRE(v->read(0, block.span()));
            CHECK(block.data()[17] == std::byte(missing));
            const Stats s = e.stats();
            const auto absent =
                std::ranges::count(s.devices, std::string("missing"), &DeviceStatus::state);
            CHECK(absent == missing);
            CHECK(s.health == (missing == 1 ? "degraded" : "unprotected"));
        });
    }
    a.drop("q0");
    check(a.refused(), Errc::missing_device, a.path("q1"));
}

TEST_CASE("discovery: the same member under two paths") {
    TestArray a;
    const std::string twin = a.path("twin");
    write_device(twin, read_device(a.path("q1"), kQlcBytes));
    a.replace("q2", twin);
    const Error error = a.refused();
    check(error, Errc::duplicate_device, twin);
    CHECK(error.message.find(a.path("q1")) != std::string::npos);
}

TEST_CASE("discovery: the same path twice") {
    TestArray a;
    a.replace("q2", a.path("q1"));
    check(Engine::open(a.options).error(), Errc::duplicate_device, a.path("q1"));
    check(Engine::check(a.options).error(), Errc::duplicate_device, a.path("q1"));
}

TEST_CASE("discovery: a device that was cut short") {
    TestArray a;
    const Buffer bytes = read_device(a.path("q1"), kQlcBytes / 2);
    forget_memory_device(a.path("q1"));
    write_device(a.path("q1"), bytes);
    check(a.refused(), Errc::damaged, a.path("q1"));
    check(a.refused(), Errc::damaged, "remove it from the array file");
    a.drop("q1");  // as it says
    const auto opened = Engine::open(a.options);
    REQUIRE(opened);
    CHECK((*opened)->stats().health == "degraded");
}

TEST_CASE("discovery: superblocks over many changes use both units in turn") {
    TestArray a;
    for (int round = 0; round < 3; ++round) {
        a.use([&](Engine& e) {
            for (int i = 0; i < 20 + round; ++i) {
                REQUIRE(e.create_volume("v" + std::to_string(i), MiB));
                if (i % 4 != 0) REQUIRE(e.delete_volume("v" + std::to_string(i)));
            }
        });
        a.use([&](Engine& e) {
            for (const VolumeInfo& v : e.volumes()) REQUIRE(e.delete_volume(v.name));
            REQUIRE(e.create_volume("last", 3 * MiB));
        });
        a.use([&](Engine& e) {
            const auto volumes = e.volumes();
            REQUIRE(volumes.size() == 1);
            CHECK(volumes[0].name == "last");
            CHECK(volumes[0].bytes == 3 * MiB);
            CHECK(e.delete_volume("last"));
        });
    }
    for (int i = 0; i < 12; ++i) a.use();
    const auto stats = Engine::inspect(a.options);
    REQUIRE(stats);
    CHECK(stats->state == "clean");
    CHECK(stats->epoch == 3 * 3 + 12);
}

TEST_CASE("create: refuses devices that hold data, and changes none") {
    TestArray a;
    a.use([](Engine& e) { REQUIRE(e.create_volume("v", MiB)); });
    Options other = a.options;
    SECTION("a superblock") { check(Engine::create(other).error(), Errc::exists, a.path("q0")); }
    SECTION("a superblock on the last") {
        for (DeviceOptions& d : other.devices) {
            if (d.path != a.path("s1")) d.path = a.path("new" + d.path.substr(d.path.size() - 2));
        }
        check(Engine::create(other).error(), Errc::exists, a.path("s1"));
        for (const std::string& p : a.paths) {
            if (p.find("new") == std::string::npos) continue;
            const Buffer start = read_device(p, MiB);
            CHECK(std::memcmp(start.data(), Buffer(MiB).data(), MiB) == 0);
        }
    }
    SECTION("some byte near the start, near the end, in the last block, or of a file in between") {
        const Buffer bytes(kQlcBytes);
        const std::uint64_t at = GENERATE(999 * KiB, kQlcBytes - 999 * KiB, kQlcBytes - 1);
        const bool large = GENERATE(false, true);
        bytes.data()[at] = std::byte{1};
        if (large) {
            bytes.data()[at] = std::byte{0};
            std::memset(bytes.data() + 7 * MiB, 1, MiB);
        }
        write_device(a.path("q9"), bytes);
        other.devices[0].path = a.path("q9");
        check(Engine::create(other).error(), Errc::exists, a.path("q9"));
    }
    // All checks come before the first write.
    a.use([](Engine& e) { CHECK(e.volumes().size() == 1); });
}

TEST_CASE("create: refuses what can't work and names why") {
    const TestArray a;
    auto refusal = [&](const std::function<void(Options&)>& spoil) {
        Options o = a.options;
        spoil(o);
        const Status created = Engine::create(o, true);
        REQUIRE_FALSE(created);
        return created.error();
    };
    check(refusal([](Options& o) { o.name = ""; }), Errc::invalid_argument, "array name");
    check(refusal([](Options& o) { o.name.assign(64, 'n'); }), Errc::invalid_argument, "63");
    check(refusal([](Options& o) { o.devices.pop_back(), o.devices.pop_back(); }),
          Errc::invalid_argument, "scm");
    check(refusal([](Options& o) { o.devices.erase(o.devices.begin()); }), Errc::invalid_argument,
          "4 to 120");
    check(refusal([](Options& o) { o.data_strips = 1; }), Errc::invalid_argument, "data_strips");
    check(refusal([](Options& o) { o.strip_bytes = 8192; }), Errc::invalid_argument, "strip");
    check(refusal([](Options& o) { o.band_bytes = 8 * MiB; }), Errc::invalid_argument, "bands");
    check(refusal([](Options& o) { o.overprovision = 0.01; }), Errc::invalid_argument, "0.02");
    check(refusal([](Options& o) { o.shards = 0; }), Errc::invalid_argument, "shards");
    check(refusal([](Options& o) { o.shards = 64; }), Errc::invalid_argument, "bands");
    check(refusal([](Options& o) { o.gc_threads = 17; }), Errc::invalid_argument, "gc_threads");
    a.use();
}

TEST_CASE("open: refuses options that the array was not created for") {
    TestArray a;
    auto refusal = [&](const std::function<void(Options&)>& spoil) {
        Options o = a.options;
        spoil(o);
        auto engine = Engine::open(o);
        REQUIRE_FALSE(engine);
        return engine.error();
    };
    check(refusal([](Options& o) { o.shards = 2; }), Errc::invalid_argument, "shards");
    check(refusal([](Options& o) { o.shards = 0; }), Errc::invalid_argument, "shards");
    check(refusal([](Options& o) { o.gc_threads = 2; }), Errc::invalid_argument, "gc_threads");
    check(refusal([](Options& o) { o.pmt_cache_bytes = 4096; }), Errc::invalid_argument,
          "pmt_cache");
    // While it is open nobody else has it.
    a.use([&](Engine&) { check(Engine::open(a.options).error(), Errc::busy, a.path("q0")); });
}

// On files: to look at memory that others write would be a race.
TEST_CASE("inspect: beside an engine that has the array open") {
    std::string folder = std::filesystem::temp_directory_path() / "qlcshape-inspect-XXXXXX";
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    {
        TestArray a("a", folder + "/");
        a.use([&](Engine& engine) {
            REQUIRE(engine.create_volume("v", MiB));
            auto stats = Engine::inspect(a.options);
            REQUIRE(stats);
            CHECK(stats->live);
            CHECK(stats->recovery.kind == "clean");  // as it was opened
        });
        // One that can't be asked, since its socket's name is taken.
        auto taken =
            std::make_unique<Result<Socket>>(listen_at(medium_of(a.options.devices.front().path)));
        REQUIRE(*taken);
        a.use([&](Engine&) {
            taken.reset();
            auto stats = Engine::inspect(a.options);
            REQUIRE(stats);
            CHECK_FALSE(stats->live);
            CHECK(stats->state == "open");
            CHECK(stats->volumes.size() == 1);
            CHECK(stats->recovery.kind == "snapshot");  // what an opening would do now
        });
        auto stats = Engine::inspect(a.options);
        REQUIRE(stats);
        CHECK(stats->state == "clean");
        CHECK(stats->recovery.kind == "clean");
    }
    std::filesystem::remove_all(folder);
}
