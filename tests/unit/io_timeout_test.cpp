// SPDX-License-Identifier: Apache-2.0
// Drives that keep a transfer: what waits for it ends, and what it may still touch stays.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>

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

TEST_CASE("io timeout: a drive that keeps a transfer ends every request, and closing") {
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
    CHECK_FALSE(w.array.core->halted());
    CHECK(w.array.core->requests_in_flight() != 0);
    w.pass(4 * kLook);
    CHECK(w.array.core->halted());
    CHECK(w.array.core->requests_in_flight() == 0);
    REQUIRE(w.ended.size() == 1 + 24 + 20 + 1);
    const Status& flush = w.ended.at(100);
    REQUIRE_FALSE(flush);
    CHECK(flush.error().code == Errc::io_error);
    CHECK(names(flush.error(), "since a drive does not answer: " + drive + ": " + to_string(kind)));
    // What comes now is refused at once, reads too.
    w.submit(Op::read, 200 * kBlockBytes);
    REQUIRE_FALSE(w.ended.at(200 * kBlockBytes));
    CHECK(names(w.ended.at(200 * kBlockBytes).error(), drive));
    CHECK(w.array.core->stats().state == "failed");
    CHECK(names(Error{Errc::io_error, w.array.core->stats().cause}, drive));
    // It closes, with an error; what the drive may still write to stays.
    REQUIRE(w.array.core->advance_close());
    const Status closed = w.array.core->finish_close();
    REQUIRE_FALSE(closed);
    CHECK(names(closed.error(), drive));
    // The drive answers at last. Nobody is told twice.
    const auto before = w.ended.size();
    w.array.power.holds = nullptr;
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    for (int i = 0; i < 100; ++i) w.array.poll();
    CHECK(w.ended.size() == before);
    w.array.core.reset();
    // What was acknowledged is there.
    REQUIRE(w.array.open());
    Bytes read(kBlockBytes);
    REQUIRE(w.array.request(Op::read, read.data()));
    CHECK(read == Bytes(kBlockBytes, std::byte{5}));
}

TEST_CASE("io timeout: a read that is kept ends in an error, and its buffer is left alone") {
    Waiting w(1);
    for (std::uint64_t at = 0; at < 4 * MiB; at += 128 * KiB) w.submit(Op::write, at, 128 * KiB);
    w.pass(kLook);
    w.ended.clear();
    w.hold("qlc", IoKind::read);
    std::fill(w.block.begin(), w.block.end(), std::byte{0});
    w.submit(Op::read, MiB);
    w.pass(kLimit + 4 * kLook);
    REQUIRE_FALSE(w.ended.at(MiB));
    w.array.power.holds = nullptr;
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    for (int i = 0; i < 100; ++i) w.array.poll();
    CHECK(std::ranges::count(w.block, std::byte{0}) == static_cast<std::ptrdiff_t>(w.block.size()));
}

TEST_CASE("io timeout: a read that its caller's thread makes ends as well, and leaves the buffer") {
    Waiting w(1);
    for (std::uint64_t at = 0; at < 4 * MiB; at += 128 * KiB) w.submit(Op::write, at, 128 * KiB);
    w.pass(kLook);
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
    CHECK(reader.direct.late());
    CHECK(waited >= kLimit);
    CHECK(waited <= kLimit + 2 * kLook);
    while (!w.array.power.held.empty()) w.array.power.finish_one(w.array.random);
    while (reader.queue.in_flight() != 0) reader.queue.poll();
    CHECK(std::ranges::count(block, std::byte{0}) == static_cast<std::ptrdiff_t>(block.size()));
}

TEST_CASE("io timeout: what a caller's thread read in vain with is noticed, and not used again") {
    Waiting w(1);
    w.hold("qlc0", IoKind::read);
    DirectReaders readers;
    readers.set_up(w.array.io_clock.get(), false);
    DirectReaders::Reader* const reader = readers.take();
    REQUIRE(reader != nullptr);
    Io& io = reader->direct.ios[0];
    io = w.array.core->array().probe_io(0, reader->direct.memory.data());
    io.context = &reader->direct.under_way;
    io.done = [](Io& done) { --*static_cast<std::uint32_t*>(done.context); };
    reader->direct.under_way = 1;
    reader->queue.submit(io);
    CHECK_FALSE(readers.overdue());
    w.pass(kLimit + 2 * kLook);
    readers.give_back(reader);
    const auto late = readers.overdue();
    REQUIRE(late);
    CHECK(late->device->path() == "qlc0");
    DirectReaders::Reader* const other = readers.take();
    REQUIRE(other != nullptr);
    CHECK(other != reader);
    readers.give_back(other);
    CHECK(readers.take() == other);
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
    w.array.power.holds = [](const Io& io) { return io.device->path() == "qlc0"; };
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
}

TEST_CASE("io timeout: closing tells of it where the array is open read-only, too") {
    Waiting w(1);
    w.submit(Op::write, 0, 512 * KiB);
    w.pass(kLook);
    while (!w.array.core->advance_close()) w.array.poll();
    REQUIRE(w.array.core->finish_close());
    w.array.core.reset();
    w.array.options.read_only = true;
    REQUIRE(w.array.open());
    w.hold("qlc", IoKind::read);
    w.submit(Op::read, 0, 512 * KiB);
    w.pass(kLimit + 2 * kLook);
    REQUIRE(w.array.core->halted());
    CHECK(w.array.core->advance_close());
    CHECK_FALSE(w.array.core->finish_close());
}

TEST_CASE("io timeout: a queue that sets up ends a transfer that takes too long") {
    Waiting w(1);
    w.array.cut();
    const std::string drive = GENERATE("qlc0", "qlc2", "scm4");
    const IoKind kind = GENERATE(IoKind::read, IoKind::write, IoKind::flush);
    CAPTURE(drive, to_string(kind));
    w.hold(drive, kind);
    const Status opened = w.array.open();
    REQUIRE_FALSE(opened);
    CAPTURE(opened.error().message);
    const std::string& text = opened.error().message;
    const auto path = text.find(drive);
    CHECK(path != std::string::npos);
    CHECK(text.find(drive, path + 1) == std::string::npos);  // once
    CHECK(names(opened.error(), "doesn't answer"));
    w.array.power.holds = nullptr;
    w.array.power.held.clear();  // for a queue that is gone: the drive never answers
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
