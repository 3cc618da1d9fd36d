// SPDX-License-Identifier: Apache-2.0
// Reads blocks from the array, verified: every byte that leaves here matched a checksum. Where a
// drive is missing, fails, or returns something else than was written, the block is rebuilt from
// the other strips and proved by the CRC-32C in the segment's header. One BlockReader per thread.
//
//   read() --> one transfer --> CRC of each block against the bits of it in the table
//     |                            |  all fit                    | some don't, or an I/O error
//     |  drive missing             v                             v
//     |                      done(), bad == 0        waiting_, one read at a time:
//     +--------------------------------------------> Rebuild, block by block --> done(), bad
//                                                       DamageCheck of each
//
// The table's entry has only crc_bits of the CRC: 32 in small arrays, at least 16 in the largest.
// So what a drive returns by mistake is taken for right with a probability of 2^-16 or less. A
// rebuilt block is proved by all 32 bits, and the entry's bits must fit, too.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "band/band_table.h"
#include "base/counters.h"
#include "format/entry.h"
#include "format/pmt_page.h"
#include "placement/array_context.h"
#include "segment/damage_check.h"
#include "segment/rebuild.h"

namespace qlcshape {

// A run of blocks that lie one after the other in one strip. The caller's until `done`.
struct BlockRead {
    static constexpr std::uint32_t kMaxBlocks = 32;

    Pba first;
    std::uint32_t blocks = 0;
    std::uint32_t asked = ~0u;  // bit i set: block i; others are read along, right or wrong
    std::byte* data = nullptr;  // aligned to a block
    std::array<PmtEntry, kMaxBlocks> expected{};  // the table's entries: the CRC's low bits count
    std::array<Lba, kMaxBlocks> lbas{};           // whose they are
    std::uint32_t bad = 0;                        // result: bit i set: block i is lost
    bool drives_away = false;                     // result: what is lost may come back with drives
    void (*done)(BlockRead&) = nullptr;           // from poll()
    void* context = nullptr;

    // The reader's.
    Io io;
    Buffer own;  // in place of memory that a drive may still write to: `data` is there then
    class BlockReader* reader = nullptr;
    std::uint32_t to_rebuild = 0;  // bit i set: block i has to be rebuilt
    BlockRead* next = nullptr;
};
static_assert(BlockRead::kMaxBlocks <= 32);

class BlockReader {
  public:
    // `marks`: bands in which it finds damage are to be moved.
    enum class Damage : bool { ignored, marks };
    BlockReader(const ArrayContext& array, BandTable& bands, IoQueue& queue, Counters& counters,
                Damage damage);

    void read(BlockRead& read);
    bool poll();
    bool idle() const { return busy_ == 0; }

    // --- any thread: for reads that don't go through this queue (Shard::read_inline()) ---
    // How many of `blocks` blocks from `pba` lie in one strip and fit in one read.
    std::uint32_t run_length(Pba pba, std::uint32_t blocks) const;
    // The transfer from the drive that has the run; without a device where that is missing.
    Io transfer_of(const BlockRead& read) const;
    // Bit i set: what was read of block i is not what the table expects.
    std::uint32_t unproved(const BlockRead& read) const;
    std::uint64_t memory_bytes() const { return rebuild_.memory_bytes() + kBlockBytes; }

  private:
    void direct_done(BlockRead& read);
    void rebuild_or_finish(BlockRead& read);
    void block_rebuilt(bool good);
    void finish(BlockRead& read);

    const ArrayContext& array_;
    const BandTable& bands_;
    IoQueue& queue_;
    Counters& counters_;
    const Damage damage_;
    Rebuild rebuild_;
    DamageCheck check_;
    Fifo<BlockRead> waiting_;  // for the rebuild
    BlockRead* rebuilding_ = nullptr;
    std::uint32_t rebuilt_block_ = 0;  // of that, under way
    std::uint32_t busy_ = 0;
};

}  // namespace qlcshape
