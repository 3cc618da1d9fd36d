// SPDX-License-Identifier: Apache-2.0
#include "shard/table_service.h"

#include "base/canary.h"

namespace qlcshape {

// The batch counts as one answer more than it has items until all were asked for, for the cache may
// answer at once: otherwise the last answer could give it back to GC in the middle of this loop.
bool TableService::answer() {
    MapBatch* batch = port_.mailbox.take_all();
    const bool any = batch != nullptr;
    while (batch != nullptr) {
        MapBatch* next = batch->mail_next;
        batch->unanswered = static_cast<std::uint32_t>(batch->items.size()) + 1;
        for (MapItem& item : batch->items) {
            item.batch = batch;
            item.owner = this;
            item.ready = [](PageWaiter& waiter, CachedPage* cached) {
                auto& it = static_cast<MapItem&>(waiter);
                static_cast<TableService*>(it.owner)->answer(it, cached);
            };
            if (CachedPage* cached = shard_.cache.get(page_of(item.lba), item))
                answer(item, cached);
        }
        batch->answered();
        batch = next;
    }
    return any;
}

// Of an exchange: compare and set, in one step of this thread. The page gets dirty only where it
// matched; valid counts move with the entry.
void TableService::answer(MapItem& item, CachedPage* cached) {
    const ArrayLayout& l = shard_.array.layout;
    item.matched = false;
    item.failed = cached == nullptr;
    if (cached == nullptr) {
        shard_.page_damaged();
    } else if (item.batch->kind == MapKind::tombstone) {
        for (std::uint32_t i = 0; i < item.blocks; ++i) {
            item.matched |= cached->entries[(item.lba.value + i) % kPageEntries] == item.expected;
        }
    } else {
        PmtEntry& entry = cached->entries[item.lba.value % kPageEntries];
        item.matched = entry == item.expected ||
                       (canary(Canary::exchange_always) && item.batch->kind == MapKind::exchange);
        if (item.matched && item.batch->kind == MapKind::exchange) {
            if (entry.mapped()) shard_.bands.drop_valid(l.band_of(entry.pba(l)));
            if (item.desired.mapped()) shard_.bands.add_valid(l.band_of(item.desired.pba(l)));
            if (entry.mapped() && !item.desired.mapped())
                shard_.counters.subtract(Counter::used_blocks, 1);
            entry = item.desired;
            cached->dirty = true;
        }
    }
    item.batch->answered();
}

// Several that were asked for meanwhile are served by the next.
bool TableService::sweep() {
    if (sweeping_ == 0) {
        const std::uint64_t asked = sweeps_asked_.load(std::memory_order_acquire);
        if (asked == sweeps_done_.load(std::memory_order_relaxed)) return false;
        sweeping_ = asked;
        shard_.cache.begin_sweep();
    }
    if (!shard_.cache.sweep()) return false;
    sweeps_done_.store(sweeping_, std::memory_order_release);
    sweeping_ = 0;
    return true;
}

bool TableService::fetch_patched() {
    if (patched_.load(std::memory_order_relaxed)) return false;
    if (shard_.cache.patches_left() == 0) {
        shard_.cache.set_patches({});
        patched_.store(true, std::memory_order_release);
        return true;
    }
    return !shard_.has_failed() && shard_.cache.fetch_patched();
}

}  // namespace qlcshape
