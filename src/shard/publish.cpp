// SPDX-License-Identifier: Apache-2.0
// What becomes of durable segments: their blocks enter the mapping table. And GC's questions about
// it, which only this shard may answer. On the shard's thread: nobody else touches its pages, so
// there is no lock, and no entry changes between GC's question and the answer (gc/target.cpp).
#include "base/assert.h"
#include "base/canary.h"
#include "shard/shard.h"

namespace qlcshape {

// In the order of sequence: everything up to here is committed, and no record that reads from it is
// in flight any more.
bool Shard::advance_durable() {
    const std::uint64_t before = durable_sequence_;
    while (durable_sequence_ + 1 <= open_sequence_) {
        RamSegment& s = segment(durable_sequence_ + 1);
        if (!s.sealed || !s.committed || s.last_record > tps_.acked_through()) break;
        ++durable_sequence_;
    }
    if (durable_sequence_ == before) return false;
    tps_.release(durable_sequence_);
    // Trims are applied before later writes of the same segment are published.
    OpFifo ops = in_commit_.take();
    while (!ops.empty()) {
        PageOp& op = ops.pop_front();
        if (op.wait_segment > durable_sequence_)
            in_commit_.push_back(op);
        else if (op.kind == OpKind::trim)
            apply_trim(op);
        else
            finish(op);
    }
    return true;
}

// One segment at a time, slots in order; up to kPublishItems pages are fetched at once. The cache
// serves waiters of a page in the order in which they asked: so of two slots with one LBA the later
// one is published last, and a trim that asked before finds the page before them.
bool Shard::publish() {
    bool any = false;
    while (published_sequence_ < durable_sequence_) {
        RamSegment& s = segment(published_sequence_ + 1);
        while (publish_slot_ < s.fill() && !idle_publish_.empty()) {
            auto& item = static_cast<PublishItem&>(idle_publish_.pop_front());
            item.segment = &s;
            item.slot = publish_slot_++;
            any = true;
            // Random blocks are far from each other in the table: fetch ahead, set first.
            if (item.slot + 8 < s.fill()) cache_.prefetch_set(s.entry(item.slot + 8).lba);
            if (item.slot + 4 < s.fill()) cache_.prefetch(s.entry(item.slot + 4).lba);
            if (CachedPage* cached = cache_.get(page_of(s.entry(item.slot).lba), item)) {
                publish_slot(s, item.slot, cached);
                idle_publish_.push_back(item);
            } else {
                ++publishing_;
            }
        }
        // A segment that counts as published may be passed over by recovery, tombstones and all.
        if (publish_slot_ < s.fill() || publishing_ != 0 || s.trims_unapplied != 0) break;
        publish_done();
        any = true;
    }
    return any;
}

void Shard::publish_slot(RamSegment& s, std::uint32_t slot, CachedPage* cached) {
    if (cached == nullptr) return damaged_page();
    const Entry e = s.entry(slot);
    PmtEntry& entry = cached->entries[e.lba.value % kPageEntries];
    const ArrayLayout& l = array_.layout;
    // A trim that came after this write may have been applied before it: its record was durable
    // before this segment was. Mapped entries have no version; there the order decides.
    const bool newer = entry.mapped() || entry.version() < e.version;
    if (newer) {
        if (entry.mapped())
            bands_.drop_valid(l.band_of(entry.pba(l)));
        else
            counters_.add(Counter::used_blocks, 1);
        entry = PmtEntry::make_mapped(l, l.pba(s.placement.band, s.placement.segment, slot), e.crc);
        bands_.add_valid(s.placement.band);
        cached->dirty = true;
    }
    // A newer write of this block in RAM keeps its place in the overlay. Beneath it the table leads
    // to this version now: the newest durable one, which GC must not take for garbage.
    const RamPlace* ram = overlay_.find(e.lba);
    if (ram != nullptr && ram->segment == s.sequence % kRamSegments && ram->slot == slot)
        overlay_.erase(e.lba);
}

// The segment's RAM is free. Where all are sealed there is one to open again.
void Shard::publish_done() {
    RamSegment& s = segment(published_sequence_ + 1);
    bands_.published(s.placement, s.tombstone_blocks());
    s.sealed = false;
    ++published_sequence_;
    publish_slot_ = 0;
    if (published_sequence_ == open_sequence_) {
        open_next();
    }
}

// The tombstone is durable: now the table forgets what it covers, and then the trim is
// acknowledged.
void Shard::apply_trim(PageOp& op) {
    ++trims_applying_;
    op.ready = [](PageWaiter& waiter, CachedPage* cached) {
        auto& trim = static_cast<PageOp&>(waiter);
        trim.shard->trim_page(trim, cached);
    };
    if (CachedPage* cached = cache_.get(page_of(op.first), op)) trim_page(op, cached);
}

void Shard::trim_page(PageOp& op, CachedPage* cached) {
    --trims_applying_;
    --segment(op.trim_segment).trims_unapplied;
    if (cached == nullptr) {
        damaged_page();
        return finish_failed(op, Errc::media_error, op.first);
    }
    const ArrayLayout& l = array_.layout;
    for (std::uint32_t i = 0; i < op.blocks; ++i) {
        const Lba lba(op.first.value + i);
        PmtEntry& entry = cached->entries[lba.value % kPageEntries];
        if (entry.mapped()) {
            bands_.drop_valid(l.band_of(entry.pba(l)));
            counters_.subtract(Counter::used_blocks, 1);
            entry = PmtEntry::make_unmapped(Unmapped::trimmed, op.version);
        } else if (entry.version() < op.version) {
            entry = PmtEntry::make_unmapped(Unmapped::trimmed, op.version);
        }
        const RamPlace* ram = overlay_.find(lba);
        if (ram != nullptr && ram->version < op.version) overlay_.erase(lba);
    }
    cached->dirty = true;
    bands_.change();  // what it unmapped is obsolete now
    finish(op);
}

// The batch counts as one answer more than it has items until all were asked for, for the cache may
// answer at once: otherwise the last answer could give it back to GC in the middle of this loop.
bool Shard::take_batches() {
    MapBatch* batch = map_port_.mailbox.take_all();
    const bool any = batch != nullptr;
    while (batch != nullptr) {
        MapBatch* next = batch->mail_next;
        batch->unanswered = static_cast<std::uint32_t>(batch->items.size()) + 1;
        for (MapItem& item : batch->items) {
            item.batch = batch;
            item.shard = this;
            item.ready = [](PageWaiter& waiter, CachedPage* cached) {
                auto& it = static_cast<MapItem&>(waiter);
                static_cast<Shard*>(it.shard)->answer(it, cached);
            };
            if (CachedPage* cached = cache_.get(page_of(item.lba), item)) answer(item, cached);
        }
        batch->answered();
        batch = next;
    }
    return any;
}

// Of an exchange: compare and set, in one step of this thread. The page gets dirty only where it
// matched; valid counts move with the entry.
void Shard::answer(MapItem& item, CachedPage* cached) {
    const ArrayLayout& l = array_.layout;
    item.matched = false;
    item.failed = cached == nullptr;
    if (cached == nullptr) {
        damaged_page();
    } else if (item.batch->kind == MapKind::tombstone) {
        for (std::uint32_t i = 0; i < item.blocks; ++i) {
            item.matched |= cached->entries[(item.lba.value + i) % kPageEntries] == item.expected;
        }
    } else {
        PmtEntry& entry = cached->entries[item.lba.value % kPageEntries];
        item.matched = entry == item.expected ||
                       (canary(Canary::exchange_always) && item.batch->kind == MapKind::exchange);
        if (item.matched && item.batch->kind == MapKind::exchange) {
            if (entry.mapped()) bands_.drop_valid(l.band_of(entry.pba(l)));
            if (item.desired.mapped()) bands_.add_valid(l.band_of(item.desired.pba(l)));
            if (entry.mapped() && !item.desired.mapped())
                counters_.subtract(Counter::used_blocks, 1);
            entry = item.desired;
            cached->dirty = true;
        }
    }
    item.batch->answered();
}

// Several that were asked for meanwhile are served by the next.
bool Shard::sweep() {
    if (sweeping_ == 0) {
        const std::uint64_t asked = sweeps_asked_.load(std::memory_order_acquire);
        if (asked == sweeps_done_.load(std::memory_order_relaxed)) return false;
        sweeping_ = asked;
        cache_.begin_sweep();
    }
    if (!cache_.sweep()) return false;
    sweeps_done_.store(sweeping_, std::memory_order_release);
    sweeping_ = 0;
    return true;
}

bool Shard::fetch_patched() {
    if (patched_.load(std::memory_order_relaxed)) return false;
    if (cache_.patches_left() == 0) {
        cache_.set_patches({});
        patched_.store(true, std::memory_order_release);
        return true;
    }
    return !failed_ && cache_.fetch_patched();
}

// A page of the table can't be trusted. Nothing more is acknowledged, the array stays marked as
// open, and the next open rebuilds the table from headers.
void Shard::damaged_page() {
    failed_ = true;
    gate_.fail_for_table();
}

}  // namespace qlcshape
