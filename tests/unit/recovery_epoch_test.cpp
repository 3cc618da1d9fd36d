// Openings after a crash, transfer by transfer: what they read first, and which epoch counts.
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/core.h"
#include "engine/format_array.h"
#include "recovery/snapshot_store.h"

using namespace qlcshape;

namespace {

using Bytes = std::vector<std::byte>;

// What all drives have in common: the power.
struct Power {
    std::function<bool(const Io&)> cut_before;  // this transfer
    std::function<bool(const Io&)> fails;       // this transfer, without a cut
    bool on = true;
};

// A drive whose bytes outlive it.
class Drive final : public Device {
  public:
    Drive(const std::string& name, Bytes& bytes, Power& power)
        : Device(name, Geometry{bytes.size(), 4096, 4096, 0, 512, true}),
          bytes_(bytes),
          power_(power) {}
    void start(Io& io, IoQueue& queue) override {
        if (power_.cut_before && power_.cut_before(io)) power_.on = false;
        if (!power_.on) return queue.complete(io, ENODEV);
        if (power_.fails && power_.fails(io)) return queue.complete(io, EIO);
        std::byte* at = bytes_.data() + io.offset;
        if (io.kind == IoKind::read) std::memcpy(io.data, at, io.bytes);
        if (io.kind == IoKind::write) {
            io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
                std::memcpy(at, data, bytes);
                at += bytes;
            });
        }
        if (io.kind == IoKind::discard) std::memset(at, 0, io.bytes);
        queue.complete(io, 0);
    }

  private:
    Bytes& bytes_;
    Power& power_;
};

class Still final : public Clock {
  public:
    std::uint64_t now_ns() override { return now_ += 1000; }

  private:
    std::uint64_t now_ = 0;
};

struct Array {
    Options options;
    std::vector<Bytes> media;
    Power power;
    Still clock;
    Random random{1};
    std::unique_ptr<Core> core;

    Array() {
        options.name = "epochs";
        options.data_strips = 2;
        options.strip_bytes = 64 * KiB;
        options.band_bytes = 512 * KiB;
        options.shards = options.gc_threads = 1;
        options.pmt_cache_bytes = MiB;
        for (int i = 0; i < 6; ++i) {
            const bool qlc = i < 4;
            media.emplace_back(qlc ? 20 * MiB : 16 * MiB);
            options.devices.push_back(
                {qlc ? Role::qlc : Role::scm, (qlc ? "qlc" : "scm") + std::to_string(i), 0});
        }
        auto list = drives();
        IoQueue queue;
        const Status made = format_array(options, list, false, random, queue);
        if (!made) FAIL(made.error().message);
    }
    std::vector<std::unique_ptr<Device>> drives() {
        std::vector<std::unique_ptr<Device>> list;
        for (std::size_t i = 0; i < media.size(); ++i)
            list.push_back(std::make_unique<Drive>(options.devices[i].path, media[i], power));
        return list;
    }
    Status open() {
        power.on = true;
        auto opened = Core::open(
            options, drives(), "",
            {clock, random,
             [](std::vector<std::span<std::byte>>) { return std::make_unique<IoQueue>(); },
             [](std::uint32_t parts, const std::function<void(std::uint32_t)>& job) {
                 for (std::uint32_t i = 0; i < parts; ++i) job(i);
             }});
        if (!opened) return fail(opened.error());
        core = std::move(*opened);
        return {};
    }
    void poll() {
        for (const auto& w : core->workers()) w->poll(core->phase());
    }
    void cut() {
        power.on = false;
        for (int i = 0; i < 1000; ++i) poll();
        core.reset();
    }
    Status request(Op op, std::byte* data, std::uint64_t bytes = kBlockBytes) {
        bool done = false;
        Status outcome;
        auto volume = core->volume("v");
        REQUIRE(volume);
        Request r{op, 0, bytes, data, [&](Status status) {
                      outcome = std::move(status);
                      done = true;
                  }};
        REQUIRE(core->submit(**volume, std::move(r)));
        while (!done) poll();
        return outcome;
    }
    // In the first block of a new volume.
    void open_and_write_sevens() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", MiB));
        Buffer block(kBlockBytes);
        std::memset(block.data(), 7, block.size());
        REQUIRE(request(Op::write, block.data()));
    }
    void check_sevens() {
        Buffer block(kBlockBytes);
        std::memset(block.data(), 0, block.size());
        REQUIRE(request(Op::read, block.data()));
        CHECK(block.data()[0] == std::byte{7});
        CHECK(block.data()[kBlockBytes - 1] == std::byte{7});
    }
};

}  // namespace

// The superblock of the next epoch reached one drive when the power went. The next opening can't
// read that drive aright, and the power goes again; the one after it can.
TEST_CASE(
    "recovery: an epoch that one opening did not see has all that it needs, or never counts") {
    Array array;
    array.open_and_write_sevens();
    array.cut();

    const Bytes before = array.media[0];
    unsigned superblocks = 0;
    array.power.cut_before = [&](const Io& io) {
        return io.point == PersistencePoint::qlc_superblock_write && ++superblocks == 2;
    };
    REQUIRE_FALSE(array.open());
    const Bytes unseen = array.media[0];
    REQUIRE(unseen != before);

    const std::size_t superblock_bytes = 2 * array.options.band_bytes;
    const auto set_superblocks = [&](const Bytes& from) {
        std::memcpy(array.media[0].data(), from.data(), superblock_bytes);
    };
    set_superblocks(before);
    unsigned erased = 0;
    array.power.cut_before = [&](const Io& io) {
        erased += io.point == PersistencePoint::keeper_discard;
        return erased != 0 && io.point != PersistencePoint::keeper_discard;
    };
    REQUIRE_FALSE(array.open());
    REQUIRE(erased != 0);

    set_superblocks(unseen);
    array.power.cut_before = nullptr;
    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

// What a process that died left in a drive's cache may go with the next cut; nothing may be built
// on it before it is durable.
TEST_CASE("recovery: every drive is flushed before anything on it is read") {
    Array array;
    REQUIRE(array.open());
    array.cut();
    std::set<std::string> flushed;
    bool too_early = false;
    array.power.cut_before = [&](const Io& io) {
        if (io.kind == IoKind::flush) flushed.insert(io.device->path());
        too_early |= io.kind == IoKind::read && flushed.size() != array.media.size();
        return false;
    };
    REQUIRE(array.open());
    CHECK_FALSE(too_early);
    array.cut();
}

// A snapshot may be durable before the band table tells of a band that was opened before it. Gone
// with the cut, that band's number must not be another's, which the snapshot would take for old.
TEST_CASE("recovery: a band that it opens is later than the snapshot") {
    Array array;
    array.open_and_write_sevens();
    IoQueue queue;
    const ArrayContext& context = array.core->array();
    auto snapshot = load_snapshot(context, context.epoch, queue);
    REQUIRE(snapshot);
    ++snapshot->generation;
    snapshot->next_band_sequence += 4;
    REQUIRE(write_snapshot(context, *snapshot, queue));
    array.cut();

    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

// A write that fills a segment is durable by it alone, and nothing else tells that it was
// acknowledged: where a controller loses its drives for a while it is not to be taken for what was
// never written.
TEST_CASE("recovery: a segment that can't be read is not discarded") {
    Array array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", MiB));
    Buffer sevens(128 * KiB);
    std::memset(sevens.data(), 7, sevens.size());
    REQUIRE(array.request(Op::write, sevens.data(), sevens.size()));
    array.cut();

    // From the first read of a band on, and for good.
    unsigned drives = 3;
    bool silent = false;
    const std::uint64_t bands = 2 * array.options.band_bytes;
    array.power.fails = [&](const Io& io) {
        const std::string& name = io.device->path();
        if (io.kind != IoKind::read || !name.starts_with("qlc")) return false;
        silent |= io.offset >= bands;
        return silent && name.back() < static_cast<char>('0' + drives);
    };
    const Status refused = array.open();
    REQUIRE_FALSE(refused);
    INFO(refused.error().message);
    CHECK(refused.error().code == Errc::media_error);
    CHECK(refused.error().message.find("qlc1") != std::string::npos);
    array.options.read_only = true;
    silent = false;
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.segments_unread != 0);
    array.cut();
    array.options.read_only = false;

    // For a while only: as long as the stripe is read for the first time.
    silent = false;
    unsigned reads = 0;
    array.power.fails = [&](const Io& io) {
        const bool strip = io.kind == IoKind::read && io.bytes == array.options.strip_bytes;
        reads += strip;
        return strip && reads <= 4;
    };
    REQUIRE(array.open());
    CHECK(reads > 4);
    array.check_sevens();
    array.power.fails = nullptr;
    array.cut();
    REQUIRE(array.open());
    array.check_sevens();
    array.cut();
}

// Strips that the power cut off may be unreadable for ever; nobody waits for them.
TEST_CASE("recovery: a torn segment that can't be read is discarded") {
    Array array;
    array.open_and_write_sevens();
    std::uint64_t torn = 0;
    array.power.cut_before = [&](const Io& io) {
        if (io.point == PersistencePoint::strip_write) torn = io.offset;
        return torn != 0;
    };
    Buffer eights(128 * KiB);
    std::memset(eights.data(), 8, eights.size());
    auto volume = array.core->volume("v");
    REQUIRE(volume);
    REQUIRE(array.core->submit(
        **volume, Request{Op::write, 128 * KiB, eights.size(), eights.data(), [](Status) {}}));
    while (array.power.on) array.poll();
    array.cut();
    array.power.cut_before = nullptr;

    array.power.fails = [&](const Io& io) {
        const std::string& name = io.device->path();
        return io.kind == IoKind::read && name.starts_with("qlc") && name != "qlc3" &&
               io.offset >= torn && io.offset < torn + array.options.strip_bytes;
    };
    const Status opened = array.open();
    if (!opened) FAIL(opened.error().message);
    array.check_sevens();
    array.power.fails = nullptr;
    array.cut();
}
