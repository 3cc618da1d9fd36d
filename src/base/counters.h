// SPDX-License-Identifier: Apache-2.0
// What the engine counts, one instance for each actor: its thread adds, any thread may sum. The
// order of the enum is on disk (superblocks and snapshots have totals): append, never reorder.
#pragma once

#include <algorithm>
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
    scrub_bands,        // that the scrub has passed: where it is
    scrub_bytes,        // read by it
    scrub_strips_wrong,
    rebuild_bands,  // in place
    rebuild_read_bytes,
    rebuild_written_bytes,
    count,
};

// Totals over the array's life, as records on media have them: with room for more.
inline constexpr std::uint32_t kCounters = 32;
using LifetimeCounters = std::array<std::uint64_t, kCounters>;
static_assert(static_cast<std::uint32_t>(Counter::count) <= kCounters);

// To the newer of two records: totals only rise. Not so the number of mapped blocks, which whoever
// opens the array counts.
inline void raise_counters(LifetimeCounters& totals, const LifetimeCounters& other) {
    for (std::size_t i = 0; i < kCounters; ++i) {
        if (i != static_cast<std::size_t>(Counter::used_blocks))
            totals[i] = std::max(totals[i], other[i]);
    }
}

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
