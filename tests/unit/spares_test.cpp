// SPDX-License-Identifier: Apache-2.0
// Spares: what takes the place of a drive that is lost, and when.
#include "engine/spares.h"

#include <mutex>

#include "engine/offline_queue.h"
#include "meta/superblock_find.h"
#include "test_array.h"

using namespace qlcshape;

namespace {

// Four qlc drives, two scm drives, and spares that are made with them.
struct SparedArray {
    std::mutex mutex;
    std::vector<std::string> lines;  // of the log
    Options options = small_array("memory:spares_");

    explicit SparedArray(const std::vector<std::uint64_t>& spares) {
        for (std::size_t i = 0; i < spares.size(); ++i)
            options.spares.push_back({.path = spare(i), .size_bytes = spares[i]});
        options.spare_after_ms = 1000;
        options.log = [this](LogLevel, const std::string& line) {
            const std::lock_guard lock(mutex);
            lines.push_back(line);
        };
        make(options);
    }
    ~SparedArray() { forget(options); }
    static void make(const Options& o) {
        const Status created = Engine::create(o);
        if (!created) FAIL(created.error().message);
    }
    static void forget(const Options& o) {
        for (const auto* named : {&o.devices, &o.spares})
            for (const DeviceOptions& d : *named) forget_memory_device(d.path);
    }
    static std::string spare(std::size_t i) { return "memory:spares_s" + std::to_string(i); }
    const std::string& drive(std::size_t i) const { return options.devices[i].path; }

    std::unique_ptr<Engine> open() const {
        auto engine = Engine::open(options);
        if (!engine) FAIL(engine.error().message);
        return std::move(*engine);
    }
    bool said(const std::string& words) {
        const std::lock_guard lock(mutex);
        return std::ranges::any_of(
            lines, [&](const std::string& l) { return l.find(words) != std::string::npos; });
    }
    void write(Engine& engine) const {
        REQUIRE(engine.create_volume("v", 4 * MiB));
        const auto v = engine.open_volume("v");
        REQUIRE(v);
        REQUIRE(v->write(0, bytes_of(4 * MiB, 7)));
        REQUIRE(v->flush());
    }
    void check(Engine& engine) const {
        const auto v = engine.open_volume("v");
        REQUIRE(v);
        std::vector<std::byte> data(4 * MiB);
        REQUIRE(v->read(0, data));
        CHECK(data == bytes_of(4 * MiB, 7));
    }
};

DeviceStatus status_of(const Stats& stats, const std::string& path) {
    const auto found = std::ranges::find(stats.devices, path, &DeviceStatus::path);
    return found == stats.devices.end() ? DeviceStatus{} : *found;
}

bool is_member(const Engine& engine, const std::string& path) {
    const DeviceStatus d = status_of(engine.stats(), path);
    return d.state == "online" && d.role != "spare";
}

// From or to the beginning of a drive that nobody has open.
void transfer(const std::string& path, IoKind kind, Buffer& bytes) {
    const auto device =
        open_device(path, 0, kind == IoKind::read ? Access::inspect : Access::read_write, false);
    REQUIRE(device);
    IoQueue queue;
    REQUIRE(
        run(queue,
            {.kind = kind, .device = device->get(), .bytes = bytes.size(), .data = bytes.data()}));
}

bool whole(const Engine& engine) {
    const Stats::Protection p = engine.stats().protection;
    return p.none == 0 && p.one == 0;
}

}  // namespace

TEST_CASE("spares: one takes the place of a drive that was taken out, and stays") {
    SparedArray a({40 * MiB});
    a.options.spare_after_ms = 3'600'000;  // not this one
    {
        auto engine = a.open();
        a.write(*engine);
        CHECK(status_of(engine->stats(), a.spare(0)).state == "spare");
        CHECK(engine->stats().health == "ok");
        REQUIRE(engine->fail_device(a.drive(1)));
        REQUIRE(becomes([&] { return is_member(*engine, a.spare(0)); }));
        CHECK(status_of(engine->stats(), a.spare(0)).index == 1);
        CHECK(engine->stats().devices.size() == 6);
        CHECK(becomes([&] { return whole(*engine); }));
        CHECK(becomes([&] { return a.said(a.spare(0) + ": it was a spare, and is qlc drive 1"); }));
        a.check(*engine);
        REQUIRE(engine->close());
    }
    // By the same array file, which names the lost drive and still a spare.
    const auto closed = Engine::inspect(a.options);
    REQUIRE(closed);
    CHECK(closed->health == "ok");
    CHECK(closed->devices.size() == 6);
    CHECK(status_of(*closed, a.spare(0)).role == "qlc");
    const auto report = Engine::check(a.options);
    REQUIRE(report);
    CHECK(report->problems_found == 0);
    const auto engine = a.open();
    CHECK(is_member(*engine, a.spare(0)));
    CHECK(engine->stats().health == "ok");
    a.check(*engine);
    REQUIRE(engine->close());
}

TEST_CASE("spares: one takes the place of a drive that is missing, after some time") {
    SparedArray a({16 * MiB, 40 * MiB});
    {
        auto engine = a.open();
        a.write(*engine);
        REQUIRE(engine->close());
    }
    const bool scm = GENERATE(false, true);
    const std::size_t gone = scm ? 5 : 2;
    forget_memory_device(a.drive(gone));
    const std::string spare = a.spare(scm ? 0 : 1), other = a.spare(scm ? 1 : 0);
    auto engine = a.open();
    CHECK_FALSE(is_member(*engine, spare));
    REQUIRE(becomes([&] { return is_member(*engine, spare); }));
    CHECK(status_of(engine->stats(), other).state == "spare");
    CHECK(becomes([&] { return whole(*engine); }));
    a.check(*engine);
    REQUIRE(engine->close());
    engine = a.open();
    CHECK(engine->stats().health == "ok");
    CHECK(engine->stats().devices.size() == 7);
    a.check(*engine);
    REQUIRE(engine->close());
}

TEST_CASE("spares: where two are in use, each drive that is missing keeps its path") {
    SparedArray a({40 * MiB, 40 * MiB});
    auto engine = a.open();
    a.write(*engine);
    for (const std::size_t lost : {3, 0}) {
        REQUIRE(engine->fail_device(a.drive(lost)));
        const std::string& spare = lost == 3 ? a.spare(0) : a.spare(1);
        REQUIRE(becomes([&] { return is_member(*engine, spare) && whole(*engine); }));
    }
    REQUIRE(engine->close());
    forget_memory_device(a.drive(1));
    engine = a.open();
    CHECK(status_of(engine->stats(), a.drive(1)).state == "missing");
    CHECK(status_of(engine->stats(), a.spare(1)).index == 0);
    a.check(*engine);
    REQUIRE(engine->close());
}

TEST_CASE("spares: what is on one since it was named is not destroyed") {
    SparedArray a({40 * MiB});
    {
        auto engine = a.open();
        a.write(*engine);
        REQUIRE(engine->close());
    }
    const bool array = GENERATE(false, true);
    Options other = small_array("memory:spares_other_");
    if (array) {
        other.devices[0].path = a.spare(0);
        SparedArray::make(other);
    } else {
        Buffer block(kBlockBytes);
        std::ranges::fill(block.span(), std::byte{1});
        transfer(a.spare(0), IoKind::write, block);
    }
    auto engine = a.open();
    REQUIRE(becomes([&] { return status_of(engine->stats(), a.spare(0)).state == "failed"; }));
    CHECK(engine->stats().health == "degraded");
    CHECK(becomes([&] { return a.said("a spare must be empty"); }));
    REQUIRE(engine->fail_device(a.drive(1)));
    CHECK_FALSE(
        becomes([&] { return is_member(*engine, a.spare(0)) || a.said("was a spare"); }, 150));
    REQUIRE(engine->close());
    const auto closed = Engine::inspect(a.options);
    REQUIRE(closed);
    CHECK(status_of(*closed, a.spare(0)).state == "failed");
    if (array) {
        CHECK(Engine::probe(other));
    } else {
        Buffer block(kBlockBytes);
        transfer(a.spare(0), IoKind::read, block);
        CHECK(std::ranges::all_of(block.span(), [](std::byte b) { return b == std::byte{1}; }));
    }
    SparedArray::forget(other);
}

TEST_CASE("spares: one in use that is gone is a missing drive, and comes back") {
    SparedArray a({40 * MiB});
    {
        auto engine = a.open();
        a.write(*engine);
        REQUIRE(engine->fail_device(a.drive(1)));
        REQUIRE(becomes([&] { return is_member(*engine, a.spare(0)) && whole(*engine); }));
        REQUIRE(engine->close());
    }
    // The drive whose place it took is still there, and is passed over.
    Options without = a.options;
    without.spares[0].path = "memory:spares_nowhere";
    auto engine = Engine::open(without);
    REQUIRE(engine);
    CHECK((*engine)->stats().health == "degraded");
    CHECK(status_of((*engine)->stats(), a.drive(1)).path.empty());
    a.check(**engine);
    REQUIRE((*engine)->close());
    const auto closed = Engine::inspect(without);
    REQUIRE(closed);
    CHECK(closed->health == "degraded");
    // As an idle spare that turns out to be a drive of the array.
    OfflineQueue offline(a.options);
    std::vector<std::unique_ptr<Device>> one;
    one.push_back(std::move(*open_device(a.spare(0), 0, Access::inspect, false)));
    const auto seen = see_superblocks(one, offline.queue());
    REQUIRE(seen[0]);
    const DeviceStatus status = look_at_spare(a.spare(0), seen[0]->superblock.array,
                                              seen[0]->superblock.parameters, offline.queue());
    CHECK(status.state == "failed");
    CHECK(status.uuid == seen[0]->device.to_string());
    CHECK(status.last_error.find("qlc drive 1 of this array") != std::string::npos);
}

TEST_CASE("spares: an image of a member has nobody's place") {
    SparedArray a({40 * MiB});
    Buffer bytes(40 * MiB);
    transfer(a.drive(1), IoKind::read, bytes);
    transfer(a.spare(0), IoKind::write, bytes);
    const bool gone = GENERATE(false, true);
    for (int i = 0; i < 2; ++i) {
        auto engine = a.open();
        if (i == 0) a.write(*engine);
        REQUIRE(becomes([&] { return status_of(engine->stats(), a.spare(0)).state == "failed"; }));
        a.check(*engine);
        REQUIRE(engine->close());
        if (gone && i == 0) forget_memory_device(a.drive(1));
    }
    const auto closed = Engine::inspect(a.options);
    REQUIRE(closed);
    CHECK(status_of(*closed, a.spare(0)).role == "spare");
}

TEST_CASE("spares: one that is locked is passed over for the next") {
    SparedArray a({40 * MiB, 40 * MiB});
    auto engine = a.open();
    a.write(*engine);
    REQUIRE(becomes([&] { return status_of(engine->stats(), a.spare(0)).capacity_bytes != 0; }));
    const auto locked = open_device(a.spare(0), 0, Access::read_write, false);
    REQUIRE(locked);
    REQUIRE(engine->fail_device(a.drive(2)));
    REQUIRE(becomes([&] { return is_member(*engine, a.spare(1)); }));
    CHECK(a.said(a.spare(0) + ": the spare can't take the place of qlc drive 2"));
    REQUIRE(engine->close());
}

TEST_CASE("spares: create refuses those that could not serve") {
    Options o = small_array("memory:spares_refused_");
    o.spares.push_back({.path = "memory:spares_refused_s", .size_bytes = 8 * MiB});
    const auto refusal = [&] {
        const Status created = Engine::create(o);
        REQUIRE_FALSE(created);
        INFO(created.error().message);
        CHECK(created.error().message.find(o.spares[0].path) == 0);
        // Nothing was made.
        CHECK_FALSE(open_device(o.devices[0].path, 0, Access::inspect, false));
        return created.error().message;
    };
    CHECK(refusal().find("40 MiB") != std::string::npos);
    o.spares[0].path = o.devices[1].path;
    CHECK(refusal().find("same file or device") != std::string::npos);
}
