// SPDX-License-Identifier: Apache-2.0
// Drives that keep a transfer: what waits for it ends, and what it may still touch stays.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <utility>

#include "core_array.h"
#include "engine/direct_readers.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kLimit = 3 * kSecond;
constexpr std::uint64_t kLook = kSecond / 4;

// An array with a volume v, and requests that may end in any way.
struct Waiting {
    CoreArray array;
    Bytes block = Bytes(kBlockBytes, std::byte{5});
    std::map<std::uint64_t, Status> ended;  // by offset

    explicit Waiting(std::uint32_t shards = 2) : array(shards) {
        array.io_clock = std::make_unique<IoClock>(array.clock, kLimit);
        REQUIRE(array.open());
        REQUIRE(array.core->create_volume("v", 8 * MiB));
    }
    ~Waiting() {
        array.power.holds = nullptr;
        while (!array.power.held.empty()) array.power.finish_one(array.random);
        if (array.core == nullptr) return;
        for (int i = 0; i < 100; ++i) array.poll();
        const auto quiet = [](const auto& worker) { return worker->queue().in_flight() == 0; };
        while (!std::ranges::all_of(array.core->workers(), quiet)) array.poll();
        array.core.reset();
    }
    void submit(Op op, std::uint64_t offset, std::uint64_t bytes = kBlockBytes) {
        block.resize(std::max<std::size_t>(block.size(), bytes), std::byte{5});
        auto volume = array.core->volume("v");
        REQUIRE(volume);
        Request r{op, offset, bytes, block.data(),
                  [this, offset](Status status) { ended[offset] = std::move(status); }};
        const Status taken = array.core->submit(**volume, std::move(r));
        if (!taken) ended[offset] = taken;
    }
    // The first 4 MiB, on the drives.
    void fill() {
        for (std::uint64_t at = 0; at < 4 * MiB; at += 128 * KiB) submit(Op::write, at, 128 * KiB);
        pass(kLook);
    }
    // Workers go on while so much time passes.
    void pass(std::uint64_t ns) {
        for (std::uint64_t at = 0; at < ns; at += kLook) {
            array.clock.pass(kLook);
            for (int i = 0; i < 200; ++i) array.poll();
            array.core->watch();
        }
    }
    // Of drives of that kind.
    void hold(const std::string& of, std::optional<IoKind> kind = {}) {
        array.power.holds = [=](const Io& io) {
            return io.device->path().starts_with(of) && (!kind || io.kind == *kind);
        };
    }
};

bool names(const Error& error, const std::string& what) {
    return error.message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("io timeout: a drive that keeps a transfer goes out, and everything goes on") {
    Waiting w;
    w.submit(Op::write, 0);
    w.pass(kLook);
    REQUIRE(w.ended.at(0));
    const std::string drive = GENERATE("qlc0", "scm4");
    const IoKind kind = GENERATE(IoKind::write, IoKind::flush);
    if (drive == "scm4" && kind == IoKind::flush) return;  // records are written durably
    CAPTURE(drive, to_string(kind));
    w.hold(drive, kind);
    // Enough for whole segments and for records, some more that wait behind them, and a flush.
    for (std::uint64_t at = MiB; at < 4 * MiB; at += 128 * KiB) w.submit(Op::write, at, 128 * KiB);
    for (std::uint64_t at = 4 * MiB; at < 4 * MiB + 20 * kBlockBytes; at += kBlockBytes)
        w.submit(Op::write, at);
    w.submit(Op::flush, 100);
    w.pass(kLimit - 2 * kLook);
    CHECK(w.array.core->requests_in_flight() != 0);
    REQUIRE_FALSE(w.array.power.held.empty());
    w.pass(8 * kLook);
    CHECK_FALSE(w.array.core->failed());
    CHECK(w.array.core->requests_in_flight() == 0);
    REQUIRE(w.ended.size() == 1 + 24 + 20 + 1);
    for (const auto& [offset, status] : w.ended) CHECK(status);
    const Stats stats = w.array.core->stats();
    CHECK(stats.health != "ok");
    for (const DeviceStatus& d : stats.devices) {
        CAPTURE(d.path);
        CHECK((d.state == "out") == (d.path == drive));
        if (d.path == drive) CHECK(names({Errc::io_error, d.last_error}, "doesn't answer"));
    }
    // The drive answers at last. Nobody is told twice, and it is not asked again.
    const auto before = w.ended.size();
    w.array.power.holds = [&](const Io& io) {
        CHECK(io.device->path() != drive);
        return false;
    };
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    w.submit(Op::write, 5 * MiB, 512 * KiB);
    w.pass(kLook);
    CHECK(w.ended.size() == before + 1);
    REQUIRE(w.array.close());
    w.array.power.holds = nullptr;
    // What was acknowledged is there, and the drive is back.
    REQUIRE(w.array.open());
    Bytes read(kBlockBytes);
    for (const std::uint64_t at : {std::uint64_t{0}, MiB, 4 * MiB, 5 * MiB}) {
        REQUIRE(w.array.request(Op::read, read.data(), kBlockBytes, at));
        CHECK(read == Bytes(kBlockBytes, std::byte{5}));
    }
}

TEST_CASE("io timeout: two QLC drives and an SCM drive that keep everything go out") {
    Waiting w;
    w.array.power.holds = [](const Io& io) {
        const std::string& drive = io.device->path();
        return drive == "qlc1" || drive == "qlc3" || drive == "scm5";
    };
    for (std::uint64_t at = 0; at < 4 * MiB; at += 128 * KiB) w.submit(Op::write, at, 128 * KiB);
    w.pass(4 * kLimit);
    CHECK_FALSE(w.array.core->failed());
    REQUIRE(w.ended.size() == 32);
    for (const auto& [offset, status] : w.ended) CHECK(status);
    // Closed while they still have what they kept: it is theirs.
    REQUIRE(w.array.close());
    REQUIRE_FALSE(w.array.power.held.empty());
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    w.array.power.holds = nullptr;
    REQUIRE(w.array.open());
    Bytes read(kBlockBytes);
    REQUIRE(w.array.request(Op::read, read.data(), kBlockBytes, 3 * MiB));
    CHECK(read == Bytes(kBlockBytes, std::byte{5}));
}

TEST_CASE("io timeout: what more drives keep than can go out ends in errors, and so does writing") {
    Waiting w;
    w.array.power.holds = [](const Io& io) {
        return io.device->path().starts_with("qlc") && io.device->path() != "qlc0";
    };
    for (std::uint64_t at = 0; at < 8 * MiB; at += 128 * KiB) w.submit(Op::write, at, 128 * KiB);
    w.pass(kLimit + 8 * kLook);
    CHECK(w.array.core->failed());
    CHECK(w.array.core->requests_in_flight() == 0);
    const auto failed = std::ranges::find_if(w.ended, [](const auto& e) { return !e.second; });
    REQUIRE(failed != w.ended.end());
    INFO(failed->second.error().message);
    CHECK(names(failed->second.error(), "timed out"));
    CHECK_FALSE(w.array.core->halted());
    while (!w.array.core->advance_close()) w.array.poll();
    CHECK_FALSE(w.array.core->finish_close());
}

TEST_CASE("io timeout: a read that a drive keeps is made from the others, and lands nowhere") {
    Waiting w(1);
    w.fill();
    w.ended.clear();
    w.hold("qlc1", IoKind::read);
    std::ranges::fill(w.block, std::byte{0});
    w.submit(Op::read, MiB, MiB);
    w.pass(kLimit + 4 * kLook);
    REQUIRE(w.ended.at(MiB));
    CHECK(std::ranges::count(w.block, std::byte{5}) == static_cast<std::ptrdiff_t>(MiB));
    // Others use all of the shard's memory for reads meanwhile: what they got is not overwritten.
    REQUIRE_FALSE(w.array.power.held.empty());
    auto late = std::exchange(w.array.power.held, {});
    w.hold("qlc", IoKind::read);
    w.ended.clear();
    for (std::uint64_t at = 0; at < 4 * MiB; at += 128 * KiB) w.submit(Op::read, at, 128 * KiB);
    for (int i = 0; i < 50; ++i) w.array.poll();
    REQUIRE_FALSE(w.array.power.held.empty());
    std::swap(late, w.array.power.held);
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    std::swap(late, w.array.power.held);
    w.array.power.holds = nullptr;
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    for (int i = 0; i < 40 && w.ended.size() != 32; ++i) w.pass(kLook);  // many are rebuilt
    REQUIRE(w.ended.size() == 32);
    CHECK(std::ranges::count(w.block, std::byte{5}) == static_cast<std::ptrdiff_t>(w.block.size()));
    CHECK(w.array.core->stats().errors.verify_failed == 0);
}

TEST_CASE("io timeout: a read that is kept ends in an error, and its buffer is left alone") {
    Waiting w(1);
    w.fill();
    w.ended.clear();
    w.hold("qlc", IoKind::read);
    std::fill(w.block.begin(), w.block.end(), std::byte{0});
    w.submit(Op::read, MiB);
    w.pass(2 * kLimit + 8 * kLook);  // of its drive, then of the others
    REQUIRE_FALSE(w.ended.at(MiB));
    w.array.power.holds = nullptr;
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    for (int i = 0; i < 100; ++i) w.array.poll();
    CHECK(std::ranges::count(w.block, std::byte{0}) == static_cast<std::ptrdiff_t>(w.block.size()));
}

TEST_CASE("io timeout: a read that its caller's thread makes ends as well, and leaves the buffer") {
    Waiting w(1);
    w.fill();
    auto volume = w.array.core->volume("v");
    REQUIRE(volume);
    Bytes block(kBlockBytes);
    std::uint64_t waited = 0;
    DirectReaders::Reader reader(w.array.io_clock.get());
    reader.queue.set_idle([&] {
        w.pass(kLook);
        waited += kLook;
        if (waited > 10 * kLimit) w.array.power.finish_one(w.array.random);
    });
    const auto read = [&] {
        return w.array.core->read_inline(**volume, MiB, kBlockBytes, block.data(), reader.queue,
                                         reader.direct);
    };
    REQUIRE(read());
    REQUIRE(block[0] == std::byte{5});
    std::ranges::fill(block, std::byte{0});
    w.hold("qlc", IoKind::read);
    CHECK_FALSE(read());
    CHECK(reader.direct.late);
    CHECK(waited >= kLimit);
    CHECK(waited <= kLimit + 2 * kLook);
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    while (reader.queue.in_flight() != 0) reader.queue.poll();
    CHECK(std::ranges::count(block, std::byte{0}) == static_cast<std::ptrdiff_t>(block.size()));
}

TEST_CASE("io timeout: what a caller's thread read in vain with waits for the drive's answer") {
    Waiting w(1);
    w.hold("qlc0", IoKind::read);
    DirectReaders readers;
    readers.set_up(w.array.io_clock.get(), false);
    DirectReaders::Reader* const reader = readers.take();
    REQUIRE(reader != nullptr);
    Io& io = reader->direct.ios[0];
    io = w.array.core->array().probe_io(0, reader->direct.memory.data());
    io.done = [](Io&) {};
    reader->queue.submit(io);
    for (std::uint64_t at = 0; at < kLimit + 2 * kLook; at += kLook) {
        w.pass(kLook);
        reader->queue.poll();
    }
    REQUIRE(io.kept);
    reader->direct.late = true;
    readers.give_back(reader);
    DirectReaders::Reader* const other = readers.take();
    REQUIRE(other != nullptr);
    CHECK(other != reader);
    w.array.power.finish_one(w.array.random);
    CHECK(readers.take() == reader);
    CHECK_FALSE(reader->direct.late);
    readers.give_back(reader);
    readers.give_back(other);
}

TEST_CASE("io timeout: a process that stood still did not wait for its drives") {
    Waiting w(1);
    w.hold("qlc0");
    w.submit(Op::write, 0, 512 * KiB);
    w.pass(kLook);
    w.array.clock.pass(3600 * kSecond);
    w.array.core->watch();
    CHECK_FALSE(w.array.core->halted());
    w.array.power.holds = nullptr;
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    w.pass(kLook);
    CHECK(w.ended.at(0));
}

TEST_CASE("io timeout: drives that are slow but answer are waited for") {
    Waiting w(1);
    w.array.power.holds = [](const Io&) { return true; };
    w.submit(Op::write, 0, 2 * MiB);
    for (int i = 0; i < 1000 && w.ended.empty(); ++i) {
        w.pass(kLook);
        const std::size_t held = w.array.power.held.size();
        for (std::size_t k = 0; k < held; ++k) w.array.power.finish_one(w.array.random);
    }
    CHECK_FALSE(w.array.core->halted());
    CHECK(w.ended.at(0));
}

TEST_CASE("io timeout: closing gives up where a worker is held inside a call") {
    Waiting w(1);
    Worker& shard = *w.array.core->workers().front();
    const auto others = [&](std::uint64_t ns) {
        for (std::uint64_t at = 0; at < ns; at += kLook) {
            w.array.clock.pass(kLook);
            for (const auto& worker : w.array.core->workers()) {
                if (worker.get() != &shard) worker->poll(w.array.core->phase());
            }
            w.array.core->watch();
        }
    };
    bool held = false;
    w.array.power.holds = [&](const Io& io) {
        if (io.device->path() != "qlc0" || io.kind != IoKind::write || held) return false;
        held = true;
        others(kLimit + 2 * kLook);
        CHECK(w.array.core->halted());
        CHECK_FALSE(w.array.core->held_fast());
        CHECK(w.ended.empty());  // it may still copy from what was written
        others(kLimit + kLook);
        CHECK(w.array.core->held_fast());
        CHECK_FALSE(w.array.core->advance_close());
        return false;
    };
    w.submit(Op::write, 0, 512 * KiB);
    w.pass(2 * kLook);
    REQUIRE(held);
    CHECK_FALSE(w.ended.at(0));  // once it came back
}

TEST_CASE("io timeout: where nothing moves and no drive has anything to do, that is said") {
    Waiting w(1);
    BandTable& bands = w.array.core->bands();
    while (bands.begin_open(Stream::gc, 1)) {
    }
    for (std::uint64_t at = 0; at < 8 * MiB; at += 128 * KiB) w.submit(Op::write, at, 128 * KiB);
    w.pass(kLimit - kLook);
    CHECK_FALSE(w.array.core->halted());
    w.pass(4 * kLook);
    REQUIRE(w.array.core->halted());
    const auto failed = std::ranges::find_if(w.ended, [](const auto& e) { return !e.second; });
    REQUIRE(failed != w.ended.end());
    CHECK(names({Errc::io_error, w.array.core->stats().cause}, "nothing has moved for 3 s"));
    CHECK(names(failed->second.error(), "report it"));
    CHECK(w.array.core->advance_close());
}

TEST_CASE("io timeout: requests that no drive is needed for are no standstill") {
    Waiting w(1);
    std::function<void()> again;
    std::uint64_t answered = 0;
    auto volume = w.array.core->volume("v");
    REQUIRE(volume);
    again = [&] {
        Request r{Op::read, 0, kBlockBytes, w.block.data(), [&](Status status) {
                      CHECK(status);
                      ++answered;
                      again();
                  }};
        if (!w.array.core->halted()) CHECK(w.array.core->submit(**volume, std::move(r)));
    };
    again();
    w.pass(3 * kLimit);
    CHECK_FALSE(w.array.core->halted());
    CHECK(answered > 100);
    again = [] {};
    w.pass(kLook);
}

TEST_CASE("io timeout: a worker that doesn't poll has not seen the drive's answer") {
    Waiting w(1);
    w.hold("qlc0", IoKind::write);
    w.submit(Op::write, 0, 512 * KiB);
    w.pass(kLook);
    Worker& shard = *w.array.core->workers().front();
    for (std::uint64_t at = 0; at < 3 * kLimit; at += kLook) {  // its thread is in a callback
        w.array.clock.pass(kLook);
        for (const auto& worker : w.array.core->workers()) {
            if (worker.get() != &shard) worker->poll(w.array.core->phase());
        }
        w.array.core->watch();
    }
    CHECK_FALSE(w.array.core->halted());
    // It looks again before the drive answers; nor has that kept it waiting for long.
    for (int i = 0; i < 200; ++i) w.array.poll();
    CHECK(w.ended.empty());
    w.array.power.holds = nullptr;
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    w.pass(kLook);
    CHECK(w.ended.at(0));
    for (const DeviceStatus& d : w.array.core->stats().devices) CHECK(d.state == "online");
}

TEST_CASE("io timeout: reads that drives keep end where the array is open read-only, too") {
    Waiting w(1);
    w.submit(Op::write, 0, 512 * KiB);
    w.pass(kLook);
    REQUIRE(w.array.close());
    w.array.options.read_only = true;
    REQUIRE(w.array.open());
    w.hold("qlc", IoKind::read);
    w.submit(Op::read, 0, 512 * KiB);
    w.pass(2 * kLimit + 8 * kLook);
    REQUIRE_FALSE(w.ended.at(0));
    CHECK(w.array.close());
}

TEST_CASE("io timeout: an array is opened without a drive that keeps a transfer") {
    Waiting w(1);
    w.submit(Op::write, 0, 512 * KiB);
    w.pass(kLook);
    w.array.cut();
    const std::string drive = GENERATE("qlc0", "qlc2", "scm4");
    const IoKind kind = GENERATE(IoKind::read, IoKind::write, IoKind::flush);
    CAPTURE(drive, to_string(kind));
    w.hold(drive, kind);
    REQUIRE(w.array.open());
    REQUIRE_FALSE(w.array.power.held.empty());
    for (const DeviceStatus& d : w.array.core->stats().devices) {
        CAPTURE(d.path);
        CHECK((d.state == "failed") == (d.path == drive));
        if (d.path == drive) CHECK(names({Errc::io_error, d.last_error}, "doesn't answer"));
    }
    // What it does late changes nothing.
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    Bytes read(kBlockBytes);
    REQUIRE(w.array.request(Op::read, read.data(), kBlockBytes, 256 * KiB));
    CHECK(read == Bytes(kBlockBytes, std::byte{5}));
    w.array.power.holds = nullptr;
    REQUIRE(w.array.close());
    REQUIRE(w.array.open());
    for (const DeviceStatus& d : w.array.core->stats().devices) CHECK(d.state == "online");
}

TEST_CASE("io timeout: an opening that needs a drive that keeps a transfer fails, and names it") {
    Waiting w(1);
    w.array.cut();
    w.array.power.holds = [](const Io& io) {
        return io.device->path().starts_with("scm") && io.kind == IoKind::write;
    };
    const Status opened = w.array.open();
    REQUIRE_FALSE(opened);
    CAPTURE(opened.error().message);
    CHECK(names(opened.error(), "scm"));
    CHECK(names(opened.error(), "doesn't answer"));
    w.array.power.holds = nullptr;
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    REQUIRE(w.array.open());
    w.array.cut();
}

TEST_CASE(
    "io timeout: a change of volumes that a call holds is noticed, and keeps nobody waiting") {
    Waiting w(1);
    Core& core = *w.array.core;
    bool held = false;
    Stats seen;
    w.array.power.holds = [&](const Io& io) {
        if (io.point != PersistencePoint::qlc_superblock_write || held) return false;
        held = true;
        seen = core.stats();
        CHECK(core.volumes().size() == 1);
        CHECK(core.volume("v"));
        for (std::uint64_t at = 0; at < kLimit + 2 * kLook; at += kLook) {
            w.array.clock.pass(kLook);
            w.array.poll();
            core.watch();
        }
        CHECK(core.halted());
        return false;
    };
    const Status made = core.create_volume("w", MiB);
    REQUIRE(held);
    CHECK(seen.volumes.size() == 1);
    REQUIRE_FALSE(made);
    INFO(made.error().message);
    CHECK(names(made.error(), "doesn't answer"));
    CHECK(names(made.error(), "may have been made or not"));
    CHECK(names(made.error(), "`qlcshape volume list`"));
    CHECK(core.volumes().size() == 1);
}
