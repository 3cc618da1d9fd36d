// SPDX-License-Identifier: Apache-2.0
#include "shard/publisher.h"

namespace qlcshape {

Publisher::Publisher(ShardContext& shard) : shard_(shard), items_(kItems) {
    for (Item& item : items_) {
        item.owner = this;
        item.ready = [](PageWaiter& waiter, CachedPage* cached) {
            auto& it = static_cast<Item&>(waiter);
            auto& publisher = *static_cast<Publisher*>(it.owner);
            publisher.enter_slot(*it.segment, it.slot, cached);
            --it.segment->entering;
            publisher.idle_.push_back(it);
        };
        idle_.push_back(item);
    }
}

bool Publisher::enter(RamSegment& s) {
    bool any = false;
    PageCache& cache = shard_.cache;
    while (s.entered < s.fill() && !idle_.empty()) {
        auto& item = static_cast<Item&>(idle_.pop_front());
        item.segment = &s;
        item.slot = s.entered++;
        any = true;
        // Random blocks are far from each other in the table: fetch ahead, set first.
        if (item.slot + 8 < s.fill()) cache.prefetch_set(s.entry(item.slot + 8).lba);
        if (item.slot + 4 < s.fill()) cache.prefetch(s.entry(item.slot + 4).lba);
        if (CachedPage* cached = cache.get(page_of(s.entry(item.slot).lba), item)) {
            enter_slot(s, item.slot, cached);
            idle_.push_back(item);
        } else {
            ++s.entering;
        }
    }
    return any;
}

void Publisher::enter_slot(const RamSegment& s, std::uint32_t slot, CachedPage* cached) {
    if (cached == nullptr) return shard_.page_damaged();
    const Entry e = s.entry(slot);
    PmtEntry& entry = cached->entries[e.lba.value % kPageEntries];
    const ArrayLayout& l = shard_.array.layout;
    // A trim that came after this write may have been applied before it: its record was durable
    // before this segment was. Mapped entries have no version; there the order decides.
    const bool newer = entry.mapped() || entry.version() < e.version;
    if (newer) {
        if (entry.mapped())
            shard_.bands.drop_valid(l.band_of(entry.pba(l)));
        else
            shard_.counters.add(Counter::used_blocks, 1);
        entry = PmtEntry::make_mapped(l, l.pba(s.placement.band, s.placement.segment, slot), e.crc);
        shard_.bands.add_valid(s.placement.band);
        cached->dirty = true;
    }
    // A newer write of this block in RAM keeps its place in the overlay. Beneath it the table leads
    // to this version now: the newest durable one, which GC must not take for garbage.
    const RamPlace* ram = shard_.overlay.find(e.lba);
    if (ram != nullptr && ram->segment == s.index && ram->slot == slot) shard_.overlay.erase(e.lba);
}

void Publisher::apply_trim(PageOp& op) {
    ++trims_applying_;
    op.owner = this;
    op.ready = [](PageWaiter& waiter, CachedPage* cached) {
        static_cast<Publisher*>(waiter.owner)->trim_page(static_cast<PageOp&>(waiter), cached);
    };
    if (CachedPage* cached = shard_.cache.get(page_of(op.first), op)) trim_page(op, cached);
}

void Publisher::trim_page(PageOp& op, CachedPage* cached) {
    --trims_applying_;
    --op.trim_segment->trims_unapplied;
    if (cached == nullptr) {
        shard_.page_damaged();
        return shard_.finish_failed(op, Errc::media_error, op.first);
    }
    const ArrayLayout& l = shard_.array.layout;
    for (std::uint32_t i = 0; i < op.blocks; ++i) {
        const Lba lba(op.first.value + i);
        PmtEntry& entry = cached->entries[lba.value % kPageEntries];
        if (entry.mapped()) {
            shard_.bands.drop_valid(l.band_of(entry.pba(l)));
            shard_.counters.subtract(Counter::used_blocks, 1);
            entry = PmtEntry::make_unmapped(Unmapped::trimmed, op.version);
        } else if (entry.version() < op.version) {
            entry = PmtEntry::make_unmapped(Unmapped::trimmed, op.version);
        }
        const RamPlace* ram = shard_.overlay.find(lba);
        if (ram != nullptr && ram->version < op.version) shard_.overlay.erase(lba);
    }
    cached->dirty = true;
    shard_.bands.change();  // what it unmapped is obsolete now
    shard_.finish(op);
}

}  // namespace qlcshape
