// SPDX-License-Identifier: Apache-2.0
// What others want of the shard's pages of the table, which only the shard may look at: GC's
// questions and exchanges (MapBatch), the sweep before a snapshot, and the fetching of pages that
// recovery left patches for. No entry changes between GC's question and the answer (gc/target.cpp).
// On the shard's thread, but for what says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "pmt/map_batch.h"
#include "shard/shard_context.h"

namespace qlcshape {

class TableService {
  public:
    explicit TableService(ShardContext& shard) : shard_(shard) { port_.queue = &shard.queue; }

    // --- any thread ---
    MapPort& port() { return port_; }
    std::uint64_t ask_sweep() {
        const std::uint64_t number = sweeps_asked_.fetch_add(1, std::memory_order_acq_rel) + 1;
        shard_.queue.wake();
        return number;
    }
    std::uint64_t sweeps_done() const { return sweeps_done_.load(std::memory_order_acquire); }
    bool patched() const { return patched_.load(std::memory_order_acquire); }

    // --- the shard's thread ---
    void set_patches(std::vector<Patch> patches) {
        patched_ = patches.empty();
        shard_.cache.set_patches(std::move(patches));
    }
    bool answer();
    bool sweep();
    bool fetch_patched();
    bool has_mail() const { return !port_.mailbox.empty(); }
    bool busy() const { return sweeping_ != 0 || !patched(); }

  private:
    void answer(MapItem& item, CachedPage* cached);

    ShardContext& shard_;
    MapPort port_;
    std::atomic<std::uint64_t> sweeps_asked_{0};
    std::atomic<std::uint64_t> sweeps_done_{0};
    std::uint64_t sweeping_ = 0;  // the sweep under way; 0: none
    std::atomic<bool> patched_{true};
};

}  // namespace qlcshape
