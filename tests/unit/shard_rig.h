// SPDX-License-Identifier: Apache-2.0
// A shard alone, or parts of one, on drives in memory that hold back what a test tells them to. The
// test polls, plays the keeper, and sees every record of the TPS as it was submitted.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "format/pmt_page.h"
#include "format/tps_record.h"
#include "shard/shard.h"
#include "small_layout.h"

namespace qlcshape {

class HeldDrive final : public Device {
  public:
    HeldDrive(std::string name, std::uint64_t bytes)
        : Device(std::move(name), Geometry{.capacity_bytes = bytes}), memory_(bytes) {}
    void start(Io& io, IoQueue& queue) override {
        if (submitted) submitted(io);
        if (hold && hold(io))
            held_.push_back({&io, &queue});
        else
            perform(io, queue);
    }
    std::size_t held() const { return held_.size(); }
    void release_one() {
        const Held first = held_.front();
        held_.erase(held_.begin());
        perform(*first.io, *first.queue);
    }
    // And holds nothing from now on.
    void release() {
        hold = nullptr;
        while (!held_.empty()) release_one();
    }
    std::byte* at(std::uint64_t offset) { return memory_.data() + offset; }

    std::function<bool(const Io&)> hold;
    std::function<void(const Io&)> submitted;
    std::function<bool(const Io&)> fails;  // without doing anything
    std::function<void(const Io&)> performed;

  private:
    struct Held {
        Io* io;
        IoQueue* queue;
    };
    void perform(Io& io, IoQueue& queue) {
        if (fails && fails(io)) return queue.complete(io, EIO);
        std::byte* place = io.kind == IoKind::flush ? nullptr : at(io.offset);
        if (io.kind == IoKind::read) std::memcpy(io.data, place, io.bytes);
        if (io.kind == IoKind::write) {
            io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
                std::memcpy(place, data, bytes);
                place += bytes;
            });
        }
        if (performed) performed(io);
        queue.complete(io, 0);
    }
    Buffer memory_;
    std::vector<Held> held_;
};

// A request to a shard, in one page of the table.
struct TestOp : PageOp {
    Buffer buffer;
    bool ended = false;
    bool good() const { return ended && !failed; }
};

// What a shard needs around it: drives, the band table, and who opens bands.
struct ShardDrives {
    ArrayContext array;
    std::vector<std::unique_ptr<HeldDrive>> qlc;
    std::unique_ptr<HeldDrive> scm;
    IoQueue queue;
    std::unique_ptr<BandTable> bands;
    std::unique_ptr<SpaceGate> gate;
    std::unique_ptr<TableBitmap> bitmap;
    std::atomic<std::uint64_t> next_version{1};
    bool opens_bands = true;
    std::vector<std::unique_ptr<TestOp>> ops;
    std::vector<std::vector<Entry>> records;  // of the TPS, without those that have no entries

    explicit ShardDrives(std::uint32_t data_strips = 2, std::uint64_t strip_bytes = 64 * KiB) {
        // Memory of drives of that size costs nothing until it is written.
        array = ArrayContext(small_layout({.k = data_strips,
                                           .scm_count = 1,
                                           .strip_bytes = strip_bytes,
                                           .bands = 70,
                                           .scm_bytes = 128 * MiB}));
        const ArrayLayout& l = array.layout;
        const ArrayParameters& p = l.p;
        Random random(1);
        array.array = Uuid::random(random);
        array.epoch = 3;
        for (std::uint32_t i = 0; i < p.qlc_count; ++i) {
            qlc.push_back(std::make_unique<HeldDrive>("qlc" + std::to_string(i), p.qlc_bytes));
            array.qlc.push_back(qlc.back().get());
        }
        scm = std::make_unique<HeldDrive>("scm", p.scm_bytes);
        scm->submitted = [this](const Io& io) { look_at(io); };
        array.scm.push_back(scm.get());
        const std::vector<PmtEntry> empty(kPageEntries);
        for (PageId page; page.value < l.pmt_pages; ++page.value)
            encode_pmt_page(empty.data(), page, array.array, 1, scm->at(l.pmt_page_offset(page)));
        bitmap = std::make_unique<TableBitmap>(l);
        for (PageId page; page.value < l.pmt_pages; ++page.value) bitmap->set_written(page);
        bands = std::make_unique<BandTable>(array.layout);
        for (std::uint32_t i = 0; i < l.bands; ++i) bands->restore(BandId(i), BandRecord{});
        gate = std::make_unique<SpaceGate>(array.layout, *bands);
    }
    ShardContext::Shared shared() { return {array, *bands, *gate, *bitmap, next_version}; }

    // The keeper's turn.
    void open_band() {
        if (opens_bands && bands->wants_band(Stream::user))
            bands->opened(*bands->begin_open(Stream::user, 3));
    }

    // Of the bytes from `offset_bytes` on, full of `value`.
    TestOp& make(OpKind kind, std::uint64_t offset_bytes, std::uint64_t bytes, int value = 0) {
        TestOp& op = *ops.emplace_back(std::make_unique<TestOp>());
        op.kind = kind;
        op.first = Lba(offset_bytes / kBlockBytes);
        op.head_skip = static_cast<std::uint32_t>(offset_bytes % kBlockBytes);
        op.bytes = bytes;
        op.blocks = static_cast<std::uint32_t>(div_up(offset_bytes + bytes, kBlockBytes) -
                                               offset_bytes / kBlockBytes);
        if (kind == OpKind::read || kind == OpKind::write) {
            op.buffer = Buffer(round_up(bytes, kBlockBytes));
            std::memset(op.buffer.data(), value, op.buffer.size());
            op.data = op.buffer.data();
        }
        op.done = [](PageOp& done) { static_cast<TestOp&>(done).ended = true; };
        return op;
    }

    static bool is_record(const Io& io) { return io.point == PersistencePoint::tps_write; }
    static bool is_strip(const Io& io) { return io.point == PersistencePoint::strip_write; }
    bool is_page_read(const Io& io) const {
        return io.kind == IoKind::read && io.offset >= array.layout.pmt_offset;
    }
    void hold_strips() {
        for (auto& drive : qlc) drive->hold = is_strip;
    }
    std::size_t strips_held() const { return qlc[0]->held(); }
    void release_strips() {
        for (auto& drive : qlc) drive->release();
    }

  private:
    void look_at(const Io& io) {
        if (!is_record(io)) return;
        const auto& header = io.parts.front();
        const TpsRecord record({static_cast<std::byte*>(header.iov_base), header.iov_len});
        std::vector<Entry> entries;
        for (std::uint32_t i = 0; i < record.fixed().entries; ++i)
            entries.push_back(record.entry(i));
        if (!entries.empty()) records.push_back(std::move(entries));
    }
};

struct ShardRig : ShardDrives {
    std::unique_ptr<Shard> shard;

    explicit ShardRig(std::uint32_t data_strips = 2, std::uint64_t strip_bytes = 64 * KiB)
        : ShardDrives(data_strips, strip_bytes),
          shard(std::make_unique<Shard>(shared(), 0, 1, queue,
                                        Buffer(Shard::memory_bytes(array.layout)))) {}
    ~ShardRig() {
        release_strips();
        scm->release();
        run();
    }

    void poll() {
        open_band();
        queue.poll();
        shard->poll();
    }
    // Until nothing more can happen but by what is held.
    void run() {
        for (int quiet = 0; quiet < 50; ++quiet) poll();
    }

    TestOp& submit(OpKind kind, std::uint64_t offset_bytes, std::uint64_t bytes, int value = 0) {
        TestOp& op = make(kind, offset_bytes, bytes, value);
        shard->submit(op);
        return op;
    }
    TestOp& write_blocks(std::uint64_t first, std::uint64_t blocks, int value) {
        return submit(OpKind::write, first * kBlockBytes, blocks * kBlockBytes, value);
    }
    TestOp& flush() { return submit(OpKind::flush, 0, 0); }
    // Whether these bytes all have this value.
    bool reads(std::uint64_t offset_bytes, std::uint64_t bytes, int value) {
        const TestOp& read = submit(OpKind::read, offset_bytes, bytes);
        run();
        return read.good() && all(read, value);
    }
    static bool all(const TestOp& read, int value) {
        return std::all_of(read.data, read.data + read.bytes,
                           [&](std::byte b) { return b == static_cast<std::byte>(value); });
    }
};

}  // namespace qlcshape
