// SPDX-License-Identifier: Apache-2.0
// The public interface on a small array in memory, with its real threads.
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "device/device.h"
#include "qlcshape/engine.h"

using namespace qlcshape;

namespace {

struct SixDrives {
    Options options;
    std::vector<std::string> paths;

    explicit SixDrives(std::uint32_t shards = 2) {
        options.data_strips = 2;
        options.strip_bytes = 64 * KiB;
        options.band_bytes = 512 * KiB;
        options.shards = shards;
        options.pmt_cache_bytes = shards * 32 * KiB;
        for (int i = 0; i < 6; ++i) {
            options.devices.push_back({i < 4 ? Role::qlc : Role::scm,
                                       "memory:engine_test_" + std::to_string(i),
                                       i < 4 ? 40 * MiB : 16 * MiB});
        }
        for (const DeviceOptions& d : options.devices) paths.push_back(d.path);
        const Status created = Engine::create(options);
        if (!created) FAIL(created.error().message);
    }
    ~SixDrives() {
        for (const std::string& path : paths) forget_memory_device(path);
    }
    void use(const std::function<void(Engine&)>& what) const {
        auto engine = Engine::open(options);
        if (!engine) FAIL(engine.error().message);
        what(**engine);
        const Status closed = (*engine)->close();
        if (!closed) FAIL(closed.error().message);
        const auto report = Engine::check(options);
        REQUIRE(report);
        for (const std::string& problem : report->problems) UNSCOPED_INFO(problem);
        REQUIRE(report->problems_found == 0);
        REQUIRE(report->clean_close);
    }
};

Volume make_volume(Engine& engine, std::uint64_t bytes, const std::string& name = "v") {
    const Status made = engine.create_volume(name, bytes);
    if (!made) FAIL(made.error().message);
    return *engine.open_volume(name);
}

Volume volume(Engine& engine, const std::string& name = "v") {
    auto found = engine.open_volume(name);
    if (!found) FAIL(found.error().message);
    return *found;
}

void fill(std::span<std::byte> bytes, Random& random) {
    for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
        const std::uint64_t word = random.next();
        std::memcpy(bytes.data() + i, &word, 8);
    }
}

// A volume as an array of bytes.
struct Model {
    std::vector<std::byte> bytes;
    Random random;

    Model(std::uint64_t size, std::uint64_t seed) : bytes(size), random(seed) {}
    void run(const Volume& v, Op op, std::uint64_t offset, std::uint64_t length) {
        const std::span<std::byte> range(bytes.data() + offset, length);
        if (op == Op::write) fill(range, random);
        const Status done = v.run(op, offset, length, op == Op::write ? range.data() : nullptr);
        if (!done) FAIL(done.error().message);
        if (op == Op::write_zeroes) std::memset(range.data(), 0, length);
        if (op == Op::trim) {
            const std::uint64_t from = round_up(offset, kBlockBytes);
            const std::uint64_t to = round_down(offset + length, kBlockBytes);
            if (to > from) std::memset(bytes.data() + from, 0, to - from);
        }
    }
    bool same(const Volume& v, std::uint64_t offset, std::uint64_t length) const {
        std::vector<std::byte> read(length, std::byte{0xcc});
        const Status done = v.run(Op::read, offset, length, read.data());
        if (!done) FAIL(done.error().message);
        return std::memcmp(read.data(), bytes.data() + offset, length) == 0;
    }
    bool same(const Volume& v) const { return same(v, 0, bytes.size()); }
};

}  // namespace

TEST_CASE("engine: what was never written reads as zeroes") {
    const SixDrives array;
    array.use([](Engine& e) {
        const Volume v = make_volume(e, 5 * MiB);
        CHECK(v.name() == "v");
        CHECK(v.size_bytes() == 5 * MiB);
        CHECK(v.blocks() == 1280);
        CHECK(v.atomic_write_max() >= 64 * KiB);
        CHECK(Model(5 * MiB, 1).same(v));
    });
}

TEST_CASE("engine: write and read and overwrite, and again after a close") {
    const SixDrives array(GENERATE(1u, 2u));
    constexpr std::uint64_t kBytes = 6 * MiB;
    Model model(kBytes, 1);
    array.use([&](Engine& e) {
        const Volume v = make_volume(e, kBytes);
        for (int round = 0; round < 3; ++round) {
            for (std::uint64_t at = 0; at < kBytes; at += 192 * KiB) {
                model.run(v, Op::write, at, std::min<std::uint64_t>(100 * KiB, kBytes - at));
            }
            REQUIRE(v.flush());
            REQUIRE(model.same(v));
        }
    });
    for (int round = 0; round < 2; ++round) {
        array.use([&](Engine& e) {
            CHECK(e.stats().recovery.kind == "clean");
            const Volume v = volume(e);
            REQUIRE(model.same(v));
            model.run(v, Op::write, 4096 * static_cast<std::uint64_t>(round), 8192);
            REQUIRE(model.same(v));
        });
    }
}

TEST_CASE("engine: sectors of 512 bytes against a model of bytes") {
    const SixDrives array;
    constexpr std::uint64_t kBytes = 5 * MiB;
    Model model(kBytes, 2);
    Random random(3);
    array.use([&](Engine& e) {
        const Volume v = make_volume(e, kBytes);
        for (int i = 0; i < 1500; ++i) {
            // Mostly near a multiple of 2 MiB, where one page of the table ends.
            const std::uint64_t middle = random.chance(1, 2) ? 2 * MiB : random.below(kBytes);
            const std::uint64_t low = middle > 40 * KiB ? middle - 40 * KiB : 0;
            const std::uint64_t offset = round_down(low + random.below(40 * KiB), kSectorBytes);
            const std::uint64_t most = random.chance(1, 3) ? 140 : 12;
            const std::uint64_t length =
                std::min(kBytes - offset, (1 + random.below(most)) * kSectorBytes);
            constexpr Op kOps[] = {Op::write, Op::write, Op::write,       Op::read,
                                   Op::trim,  Op::read,  Op::write_zeroes};
            const Op op = kOps[random.below(std::size(kOps))];
            INFO("step " << i << " op " << static_cast<int>(op) << " at " << offset << " + "
                         << length);
            if (op != Op::read) model.run(v, op, offset, length);
            REQUIRE(model.same(v, offset, length));
        }
        REQUIRE(model.same(v));
    });
    array.use([&](Engine& e) { CHECK(model.same(volume(e))); });
}

TEST_CASE("engine: requests larger than a segment and than a page of the table") {
    const SixDrives array;
    constexpr std::uint64_t kBytes = 11 * MiB + 4096;
    Model model(kBytes, 4);
    array.use([&](Engine& e) {
        const Volume v = make_volume(e, kBytes);
        model.run(v, Op::write, 0, kBytes);
        REQUIRE(model.same(v));
        model.run(v, Op::write, 512, 5 * MiB + 1024);
        model.run(v, Op::trim, MiB - 512, 3 * MiB + 1024);
        model.run(v, Op::write_zeroes, 6 * MiB + 512, 3 * MiB);
        REQUIRE(model.same(v));
        model.run(v, Op::write, 2 * MiB - 512, 1024);
        REQUIRE(model.same(v));
    });
    array.use([&](Engine& e) { CHECK(model.same(volume(e))); });
}

TEST_CASE("engine: trimmed and zeroed ranges read as zeroes") {
    const SixDrives array;
    Model model(4 * MiB, 5);
    array.use([&](Engine& e) {
        const Volume v = make_volume(e, 4 * MiB);
        model.run(v, Op::write, 0, 4 * MiB);
        REQUIRE(v.trim(10, 20));
        REQUIRE(v.write_zeroes(1000, 24));
        std::memset(model.bytes.data() + 10 * kBlockBytes, 0, 20 * kBlockBytes);
        std::memset(model.bytes.data() + 1000 * kBlockBytes, 0, 24 * kBlockBytes);
        REQUIRE(model.same(v));
        // Within one block; across one boundary; the same range twice; none of a whole block.
        model.run(v, Op::write_zeroes, 512, 1024);
        model.run(v, Op::write_zeroes, 100 * kBlockBytes - 512, 1024);
        model.run(v, Op::write_zeroes, 100 * kBlockBytes - 512, 1024);
        model.run(v, Op::trim, 200 * kBlockBytes + 512, 4096);
        model.run(v, Op::write_zeroes, 300 * kBlockBytes, 512);
        model.run(v, Op::write_zeroes, 401 * kBlockBytes - 512, 512);
        REQUIRE(model.same(v));
        // Written again it is back.
        model.run(v, Op::write, 15 * kBlockBytes + 512, 512);
        REQUIRE(model.same(v));
    });
    array.use([&](Engine& e) { CHECK(model.same(volume(e))); });
}

TEST_CASE("engine: requests of no bytes") {
    const SixDrives array;
    array.use([](Engine& e) {
        const Volume v = make_volume(e, MiB);
        for (const Op op : {Op::read, Op::write, Op::trim, Op::write_zeroes, Op::flush}) {
            CHECK(v.run(op, 4096, 0, nullptr));
            CHECK(v.run(op, MiB, 0, nullptr));
        }
    });
}

TEST_CASE("engine: overwritten for long, so that gc has work") {
    const SixDrives array;
    constexpr std::uint64_t kBytes = 16 * MiB;
    Model model(kBytes, 6);
    array.use([&](Engine& e) {
        const Volume v = make_volume(e, kBytes);
        model.run(v, Op::write, 0, kBytes);
        Random random(7);
        while (e.stats().gc.bands_moved < 10) {
            for (int i = 0; i < 200; ++i) {
                const std::uint64_t length = (1 + random.below(64)) * kBlockBytes;
                const std::uint64_t offset = round_down(random.below(kBytes - length), kBlockBytes);
                model.run(v, random.chance(1, 10) ? Op::trim : Op::write, offset, length);
            }
            REQUIRE(e.stats().bytes.user_written < 2 * GiB);
        }
        REQUIRE(model.same(v));
    });
    array.use([&](Engine& e) {
        CHECK(model.same(volume(e)));
        const Stats s = e.stats();
        CHECK(s.waf_total > s.waf_data);
        CHECK(s.waf_data >= 1);
    });
}

TEST_CASE("engine: read with two drives gone and told where three are wrong") {
    SixDrives array;
    Model model(4 * MiB, 8);
    array.use([&](Engine& e) { model.run(make_volume(e, 4 * MiB), Op::write, 0, 4 * MiB); });
    const Options all = array.options;
    array.options.devices.erase(array.options.devices.begin() + 1,
                                array.options.devices.begin() + 3);
    {
        auto engine = Engine::open(array.options);
        REQUIRE(engine);
        CHECK(model.same(volume(**engine)));
        CHECK((*engine)->stats().errors.reconstructed > 0);
    }
    {
        // All that bands hold on a third drive.
        auto drive = open_device(all.devices[0].path, 0, Access::read_write, false);
        REQUIRE(drive);
        Buffer noise(39 * MiB);
        std::memset(noise.data(), 0x11, noise.size());
        IoQueue queue;
        Io io;
        io.kind = IoKind::write;
        io.device = drive->get();
        io.offset = MiB;
        io.bytes = noise.size();
        io.data = noise.data();
        REQUIRE(run(queue, io));
    }
    {
        auto engine = Engine::open(array.options);
        REQUIRE(engine);
        const Volume v = volume(**engine);
        std::uint32_t errors = 0;
        std::vector<std::byte> block(kBlockBytes);
        for (std::uint64_t lba = 0; lba < 100; ++lba) {
            const Status read = v.read(lba, block);
            if (read) {
                REQUIRE(std::memcmp(block.data(), model.bytes.data() + lba * 4096, 4096) == 0);
                continue;
            }
            ++errors;
            REQUIRE(read.error().code == Errc::media_error);
            REQUIRE(read.error().message.find("byte " + std::to_string(lba * 4096)) !=
                    std::string::npos);
        }
        CHECK(errors > 0);
    }
    // With the two drives back everything is as it was, and told.
    auto engine = Engine::open(all);
    REQUIRE(engine);
    CHECK(model.same(volume(**engine)));
    CHECK((*engine)->stats().errors.reconstructed > 0);
}

TEST_CASE("engine: more requests than it takes are busy") {
    const SixDrives array(1);
    array.use([](Engine& e) {
        const Volume v = make_volume(e, 8 * MiB);
        std::vector<std::byte> buffer(MiB);
        std::mutex mutex;
        std::condition_variable changed;
        std::uint32_t left = 0;
        std::uint32_t failed = 0;
        bool busy = false;
        for (int i = 0; i < 100000 && !busy; ++i) {
            {
                std::lock_guard lock(mutex);
                ++left;
            }
            const Status taken =
                v.submit({Op::read, 0, buffer.size(), buffer.data(), [&](Status s) {
                              std::lock_guard lock(mutex);
                              if (!s) ++failed;
                              if (--left == 0) changed.notify_one();
                          }});
            if (taken) continue;
            std::lock_guard lock(mutex);
            --left;
            REQUIRE(taken.error().code == Errc::busy);
            busy = true;
            CHECK(left <= Engine::kMaxRequests);
        }
        CHECK(busy);
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return left == 0; });
        CHECK(failed == 0);
        lock.unlock();
        // Then it takes requests again.
        CHECK(v.read(0, buffer));
    });
}

TEST_CASE("engine: a flush ends after every write that was submitted before it, on all shards") {
    const std::uint32_t shards = GENERATE(1u, 2u);
    const SixDrives array(shards);
    array.use([](Engine& e) {
        const Volume v = make_volume(e, 8 * MiB);
        std::vector<std::byte> buffer(64 * KiB, std::byte{1});
        std::atomic<int> written = 0;
        for (int round = 1; round <= 50; ++round) {
            // Some for each shard, which takes pages of the table by turns.
            for (std::uint64_t i = 0; i < 8; ++i) {
                REQUIRE(v.submit({Op::write, i * MiB, buffer.size(), buffer.data(),
                                  [&](const Status& s) { written += s ? 1 : 1000000; }}));
            }
            REQUIRE(v.flush());
            REQUIRE(written == 8 * round);
        }
    });
}
