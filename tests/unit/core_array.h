// SPDX-License-Identifier: Apache-2.0
// An open array on one thread, over drives in memory that a test can fail or cut off transfer by
// transfer. Drives outlive openings; nothing moves but by poll().
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/core.h"
#include "engine/format_array.h"

namespace qlcshape {

using Bytes = std::vector<std::byte>;

// The transfers of a test before which it cuts the power, or which it lets fail, each in a run of
// its own. Under a sanitizer that takes ten times as long: there it is one of seven, others each
// time.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kNextTransfer = 7;
#else
constexpr std::uint64_t kNextTransfer = 1;
#endif
inline std::uint64_t first_transfer() { return 1 + std::random_device{}() % kNextTransfer; }

// What all drives have in common: the power.
struct Power {
    std::function<bool(const Io&)> cut_before;  // this transfer
    std::function<bool(const Io&)> fails;       // this transfer, without a cut
    std::function<bool(const Io&)> spoils;      // this read: its bytes arrive wrong
    std::function<bool(const Io&)> holds;       // this transfer ends at finish_one(), not before
    bool on = true;
    int error = EIO;  // of what fails

    struct Held {
        Io* io;
        IoQueue* queue;
        int error;
    };
    std::vector<Held> held;
    // Ends one of those that are held. Of one that was given up, whose queue may be gone, the drive
    // uses the memory only now.
    void finish_one(Random& random) {
        if (held.empty()) return;
        std::swap(held[random.below(held.size())], held.back());
        const Held last = held.back();
        held.pop_back();
        if (last.io->kept) use_memory(*last.io);
        if (last.io->device != nullptr) last.queue->complete(*last.io, last.error);
    }
    bool hand_over(const Io& io, Io& heir) {
        std::ranges::find(held, &io, &Held::io)->io = &heir;
        return true;
    }
    void use_memory(Io& io) {
        if (io.kind == IoKind::read) std::memset(io.data, 0x77, io.bytes);
        if (io.kind != IoKind::write) return;
        io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
            for (std::uint64_t i = 0; i < bytes; ++i) bytes_seen ^= data[i];
        });
    }
    std::byte bytes_seen{};
};

// A drive whose bytes outlive it.
class CoreDrive final : public Device {
  public:
    CoreDrive(const std::string& name, Bytes& bytes, Power& power)
        : Device(name, Geometry{bytes.size(), 4096, 4096, 0, 512, true}),
          bytes_(bytes),
          power_(power) {}
    void start(Io& io, IoQueue& queue) override {
        if (power_.cut_before && power_.cut_before(io)) power_.on = false;
        const int error = !power_.on ? ENODEV : power_.fails && power_.fails(io) ? power_.error : 0;
        if (error == 0) transfer(io);
        if (power_.holds && power_.holds(io)) return power_.held.push_back({&io, &queue, error});
        queue.complete(io, error);
    }
    bool hand_over(Io& io, Io& heir, IoQueue&) override { return power_.hand_over(io, heir); }
    std::shared_ptr<const DriveLock> lock() const override { return lock_; }

  private:
    std::shared_ptr<const DriveLock> lock_ = std::make_shared<const DriveLock>();
    void transfer(Io& io) {
        std::byte* at = bytes_.data() + io.offset;
        if (io.kind == IoKind::read) std::memcpy(io.data, at, io.bytes);
        if (power_.spoils && power_.spoils(io)) std::memset(io.data, 0x55, io.bytes);
        if (io.kind == IoKind::write) {
            io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
                std::memcpy(at, data, bytes);
                at += bytes;
            });
        }
        if (io.kind == IoKind::discard) std::memset(at, 0, io.bytes);
    }

    Bytes& bytes_;
    Power& power_;
};

// The first of the writes that a superblock on a QLC drive takes.
inline bool begins_qlc_superblock(const Io& io) {
    return io.point == PersistencePoint::qlc_superblock_write &&
           io.offset % kSuperblockRecordMin == 0;
}

class SteppingClock final : public Clock {
  public:
    std::uint64_t now_ns() override { return now_ += 1000; }
    void pass(std::uint64_t ns) { now_ += ns; }

  private:
    std::uint64_t now_ = 0;
};

struct Shape {
    std::uint32_t data_strips = 2;
    std::uint64_t strip_bytes = 64 * KiB, band_bytes = 512 * KiB;
    std::uint32_t pmt_copies = 0;  // 0: two
    std::uint64_t drive_bytes = 20 * MiB;
    std::uint32_t more_drives = 0;  // QLC drives than a band has columns
};

struct CoreArray {
    Options options;
    std::vector<Bytes> media;
    std::set<std::string> away;  // these drives are not there
    Power power;
    SteppingClock clock;
    std::unique_ptr<IoClock> io_clock;  // none: drives may keep transfers
    Random random{1};
    std::uint64_t version_gap = kVersionGap;
    std::uint64_t counted_pages = 65536;  // a table with more is not counted
    std::function<void()> also;           // with each poll()
    std::unique_ptr<Core> core;

    explicit CoreArray(std::uint32_t shards = 1) : CoreArray(shards, {}) {}
    CoreArray(std::uint32_t shards, const Shape& shape) {
        options.name = "core";
        options.data_strips = shape.data_strips;
        options.strip_bytes = shape.strip_bytes;
        options.band_bytes = shape.band_bytes;
        options.pmt_copies = shape.pmt_copies;
        options.shards = shards;
        options.gc_threads = 1;
        options.pmt_cache_bytes = MiB;
        const std::uint32_t qlc_drives = shape.data_strips + 2 + shape.more_drives;
        for (std::uint32_t i = 0; i < qlc_drives + 2; ++i) {
            const bool qlc = i < qlc_drives;
            media.emplace_back(shape.drive_bytes);
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
        for (std::size_t i = 0; i < media.size(); ++i) {
            const std::string& path = options.devices[i].path;
            if (!away.contains(path))
                list.push_back(std::make_unique<CoreDrive>(path, media[i], power));
        }
        for (const auto& drive : list) {
            if (options.read_only) drive->set_read_only();
        }
        return list;
    }
    // Without the first `missing` QLC drives.
    Status open(std::size_t missing = 0) {
        power.on = true;
        auto list = drives();
        list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(missing));
        auto opened = Core::open(
            options, std::move(list), {},
            {clock, random,
             [this](std::vector<std::span<std::byte>>) {
                 auto queue = std::make_unique<IoQueue>();
                 if (io_clock != nullptr) queue->set_idle([this] { clock.pass(100'000'000); });
                 return queue;
             },
             [](std::uint32_t parts, const std::function<void(std::uint32_t)>& job) {
                 for (std::uint32_t i = 0; i < parts; ++i) job(i);
             },
             0, counted_pages, kTableBuildBytes / sizeof(Finding), version_gap, io_clock.get()});
        if (!opened) return fail(opened.error());
        core = std::move(*opened);
        return {};
    }
    void poll() {
        for (const auto& w : core->workers()) w->poll(core->phase());
        if (core->array().drive_leaves()) core->look_at_drives();
        if (also) also();
    }
    Status close() {
        while (!core->advance_close()) poll();
        const Status closed = core->finish_close();
        core->release();
        core.reset();
        return closed;
    }
    void cut() {
        power.on = false;
        for (int i = 0; i < 1000; ++i) poll();
        core.reset();
    }
    // All copies of a page of the table.
    void damage_page(const ArrayLayout& l, PageId page) {
        for (std::uint32_t copy = 0; copy < l.p.pmt_copies; ++copy)
            media[l.p.qlc_count + l.pmt_drive(page, copy)][l.pmt_page_offset(page, copy)] ^=
                std::byte{1};
    }
    // The next opening builds the table from headers. To be called while it is open.
    void cut_without_snapshots() {
        const ArrayLayout l = core->layout();
        cut();
        for (std::size_t i = l.p.qlc_count; i < media.size(); ++i)
            std::memset(media[i].data() + l.snapshot_offset, 0, 2 * l.snapshot_bytes);
    }
    // On the volume v.
    Status request(Op op, std::byte* data, std::uint64_t bytes = kBlockBytes,
                   std::uint64_t offset = 0) {
        bool done = false;
        Status outcome;
        auto volume = core->volume("v");
        REQUIRE(volume);
        Request r{op, offset, bytes, data, [&](Status status) {
                      outcome = std::move(status);
                      done = true;
                  }};
        REQUIRE(core->submit(**volume, std::move(r)));
        for (int polls = 0; !done; ++polls) {
            if (polls == 10'000'000) FAIL("a request has no answer");
            poll();
        }
        return outcome;
    }
    // Of the volume v, full of `value`.
    void write_blocks(std::uint64_t first, std::uint64_t count, int value) {
        Bytes data(count * kBlockBytes, static_cast<std::byte>(value));
        REQUIRE(request(Op::write, data.data(), data.size(), first * kBlockBytes));
    }
    void trim_blocks(std::uint64_t first, std::uint64_t count) {
        REQUIRE(request(Op::trim, nullptr, count * kBlockBytes, first * kBlockBytes));
    }
    bool reads(std::uint64_t first, std::uint64_t count, int value) {
        Bytes data(count * kBlockBytes, static_cast<std::byte>(~value));
        return request(Op::read, data.data(), data.size(), first * kBlockBytes) &&
               std::all_of(data.begin(), data.end(),
                           [&](std::byte b) { return b == static_cast<std::byte>(value); });
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

}  // namespace qlcshape
