// SPDX-License-Identifier: Apache-2.0
// What the parts of a shard share: who it is, where its blocks are, and how a request ends. Each
// part gets it, and the parts that it calls itself; none knows the shard. The shard's thread, but
// for what says otherwise.
#pragma once

#include <atomic>
#include <cstdint>

#include "band/band_table.h"
#include "band/space_gate.h"
#include "base/counters.h"
#include "pmt/page_cache.h"
#include "shard/flush_barrier.h"
#include "shard/overlay.h"
#include "shard/page_op.h"
#include "shard/ram_segment.h"

namespace qlcshape {

struct ShardContext {
    // What all shards of an array share.
    struct Shared {
        const ArrayContext& array;
        BandTable& bands;
        SpaceGate& gate;
        TableBitmap& bitmap;
        std::atomic<std::uint64_t>& next_version;
    };

    // `segment_memory`: for the RAM segments of all its streams.
    ShardContext(const Shared& shared, std::uint32_t number, std::uint64_t cache_sets,
                 IoQueue& io_queue, std::span<std::byte> segment_memory);

    const ArrayContext& array;
    const std::uint32_t index;
    BandTable& bands;
    SpaceGate& gate;
    std::atomic<std::uint64_t>& next_version;
    IoQueue& queue;
    Counters counters;  // any thread may read

    // Where a block is: the overlay leads to the segment that has it newest in RAM; otherwise the
    // table says. Pipelines enter blocks into the overlay, the publisher moves them to the table.
    Overlay overlay;
    RamSegments ram;
    PageCache cache;

    FlushBarrier barrier;
    // Pieces of requests that have ended. Any thread may read.
    std::atomic<std::uint64_t> ended{0};
    // The shard can't go on: nothing more is acknowledged. Any thread may read.
    std::atomic<bool> failed{false};

    Version new_version() { return Version(next_version.fetch_add(1, std::memory_order_relaxed)); }
    // Every request ends here.
    void finish(PageOp& op) {
        if (op.kind == OpKind::write || op.kind == OpKind::trim) barrier.leave(op);
        ended.store(ended.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        op.done(op);
    }
    void finish_failed(PageOp& op, Errc error, Lba lba) {
        op.note_failure(error, lba);
        finish(op);
    }
    void fail_all(OpFifo ops) {
        while (!ops.empty()) {
            PageOp& op = ops.pop_front();
            finish_failed(op, Errc::io_error, op.first);
        }
    }

    bool has_failed() const { return failed.load(std::memory_order_relaxed); }
    // A page of the table can't be trusted. Nothing more is acknowledged, the array stays marked as
    // open, and the next open rebuilds the table from headers.
    void page_damaged() {
        failed = true;
        gate.fail_for_table();
    }
};

}  // namespace qlcshape
