// SPDX-License-Identifier: Apache-2.0
// What the engine counts, one instance for each actor: its thread adds, any thread may sum. The
// order of the enum is on disk (the superblock keeps lifetime totals): append, never reorder.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace qlcshape {

enum class Counter : std::uint8_t {
    user_written_bytes,
    user_read_bytes,
    user_trimmed_bytes,
    tps_written_bytes,
    qlc_data_bytes,
    qlc_gc_bytes,
    qlc_parity_bytes,
    qlc_header_bytes,
    qlc_padding_bytes,
    pmt_written_bytes,
    pmt_read_bytes,
    band_table_written_bytes,
    pmt_hits,
    pmt_misses,
    gc_bands_moved,
    gc_blocks_moved,
    gc_races_lost,
    verify_failed,
    reconstructed,
    unreadable,
    commit_retries,
    used_blocks,  // mapped blocks: rises and falls
    io_errors,
    open_milliseconds,  // for writing
    count,
};

class Counters {
  public:
    // The owner's thread.
    void add(Counter counter, std::uint64_t n) {
        auto& cell = cells_[static_cast<std::size_t>(counter)];
        cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void subtract(Counter counter, std::uint64_t n) { add(counter, ~n + 1); }
    std::uint64_t get(Counter counter) const {
        return cells_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
    }

  private:
    std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Counter::count)> cells_{};
};

}  // namespace qlcshape
