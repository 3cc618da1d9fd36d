// SPDX-License-Identifier: Apache-2.0
// Reads of a shard: from RAM where the block is newest there, otherwise from the array, verified.
// They change nothing, and wait for nothing that writes do but for pages of the table.
//
//   start() -> page of the table -> block by block: RAM, memory of a degraded recovery, hole
//                 |                                 or a run of blocks -> chunk -> BlockReader
//                 +-- no chunk is free: waiting_, and the page is looked at again
//
// On the shard's thread, but for read_inline() (direct_read.cpp).
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "segment/block_reader.h"
#include "shard/direct_read.h"
#include "shard/shard_context.h"

namespace qlcshape {

// The newest contents of blocks that recovery could not commit, because drives are missing: served
// from memory, read-only.
struct RecoveredBlock {
    EntryKind kind = EntryKind::empty;  // data; poisoned: lost; tombstones: trimmed
    std::vector<std::byte> data;
};
using RecoveredBlocks = std::unordered_map<std::uint64_t, RecoveredBlock>;

class Reads {
  public:
    static constexpr std::uint32_t kReadChunks = 64;
    static constexpr std::uint64_t kChunkBytes = std::uint64_t{BlockRead::kMaxBlocks} * kBlockBytes;

    // `memory`: memory_needed() of it, registered with the queue.
    Reads(ShardContext& shard, std::span<std::byte> memory);
    static constexpr std::uint64_t memory_needed() { return kReadChunks * kChunkBytes; }
    void set_recovered(const RecoveredBlocks* recovered) { recovered_ = recovered; }

    void start(PageOp& op);
    // Which blocks a read would find anything for: OpKind::mapped.
    void look_for_data(PageOp& op);
    bool poll();

    // Some wait for a chunk.
    bool waiting() const { return !waiting_.empty(); }
    bool idle() const { return waiting_.empty() && reader_.idle(); }
    std::uint64_t memory_bytes() const { return reader_.memory_bytes(); }

    // Any thread, see Shard::read_inline(). `lock`: the shard's.
    bool read_inline(PageOp& op, IoQueue& queue, DirectRead& direct, ShardLock& lock);

  private:
    struct Chunk {
        BlockRead read;
        Reads* owner = nullptr;
        PageOp* op = nullptr;
        std::uint32_t first_block = 0;  // of the op
        Chunk* next = nullptr;
    };

    void fetch_page(PageOp& op);
    bool pump();
    void tell_mapped(PageOp& op, const CachedPage* cached);
    void read_page(PageOp& op, const CachedPage* cached);
    bool read_block(PageOp& op, const PmtEntry* entries);
    bool read_without_drive(PageOp& op, const PmtEntry* entries);
    void take_run(PageOp& op, BlockRead& run, const PmtEntry* entries);
    void start_chunk(PageOp& op, Chunk& chunk, const PmtEntry* entries);
    void chunk_done(Chunk& chunk);
    static void deliver_run(PageOp& op, std::uint32_t first_block, const BlockRead& run);
    static void deliver(PageOp& op, std::uint32_t block, const std::byte* from);
    void end_read(PageOp& op);

    // direct_read.cpp
    bool look(PageOp& op, DirectRead& direct, ShardLock& lock);
    bool transfer(DirectRead& direct, IoQueue& queue);

    ShardContext& shard_;
    BlockReader reader_;
    std::vector<Chunk> chunks_;
    Fifo<Chunk> idle_chunks_;
    OpFifo waiting_;  // for a chunk
    const RecoveredBlocks* recovered_ = nullptr;
};

}  // namespace qlcshape
