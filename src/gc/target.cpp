// SPDX-License-Identifier: Apache-2.0
// Segments of the GC stream: filled from several sources, committed, then made known to the table.
// On the collector's thread; the table's pages are the shards'.
//
// GC's exchange against a racing write. Block L lies at place A with version 5; GC copies it to B.
// Only the shard that owns L's page changes its entry, so one of these orders it is:
//
//   write published first          write in RAM at that moment      exchange first
//   ---------------------------    -----------------------------    ---------------------------
//   lookup: entry is A, wanted     lookup: entry is A, wanted       lookup: entry is A, wanted
//   B durable, version 5           B durable, version 5             B durable, version 5
//   user writes 9: overlay         user writes 9: overlay           exchange: is it A? entry := B
//   9 durable at C: entry := C     exchange: is it A? entry := B    user writes 9: overlay
//   exchange: is it A? no          9 durable at C: entry := C       9 durable at C: entry := C
//   B is garbage (gc_races_lost)   B is obsolete                    B is obsolete
//
// In each the entry ends at C. It never leads to RAM: until 9 is durable it leads to a durable 5. A
// trim is like a write: its tombstone has a version. Comparing the entry is enough, since A can't
// hold another block by then: its band is freed only after the answer.
//
// A crash may leave A, B and C to recovery. Version 9 wins; of A and B, which have one version and
// one content, either will do. Before A's band is erased, B is durable.
#include "base/assert.h"
#include "gc/collector.h"

namespace qlcshape {

// The open target, with room for a block or a tombstone; null while all are on their way.
Collector::Target* Collector::open_target() {
    if (open_ != nullptr && open_->room() == 0) seal_target();
    if (open_ != nullptr) return open_;
    for (auto& t : targets_) {
        if (t->in_use) continue;
        t->in_use = true;
        t->reset();
        t->poisoned = 0;
        t->sequence = next_target_++;
        open_ = t.get();
        return open_;
    }
    return nullptr;
}

void Collector::seal_target() {
    open_->finish_filling();
    committer_.commit(*open_);
    open_ = nullptr;
}

// Durable in its new place, and settled: let the table say so, where it still says the old one. Not
// before: a page may be written back at any moment, and must not lead to what a crash discards.
void Collector::target_durable(Target& t) {
    const ArrayLayout& l = array_.layout;
    clear(t.batches, MapKind::exchange);
    for (std::uint32_t slot = 0; slot < t.fill(); ++slot) {
        const Entry e = t.entry(slot);
        MapItem item;
        item.lba = e.lba;
        item.expected = t.from[slot];
        item.desired = e.kind == EntryKind::data
                           ? PmtEntry::make_mapped(
                                 l, l.pba(t.placement.band, t.placement.segment, slot), e.crc)
                           : PmtEntry::make_unmapped(Unmapped::poisoned, e.version);
        batch_for(t.batches, e.lba).items.push_back(item);
    }
    send(t.batches, t.batches_pending);
}

// All answers are there. Only now does the segment count as published: a snapshot promises that
// what is published is in the table, and recovery does not read it again.
void Collector::target_settled(Target& t) {
    std::uint64_t lost = 0;
    for (const MapBatch& b : t.batches) {
        for (const MapItem& item : b.items) {
            if (!item.matched) ++lost;
        }
    }
    clear(t.batches, MapKind::exchange);
    counters_.add(Counter::gc_races_lost, lost);
    bands_.published(t.placement, t.tombstone_blocks() + t.poisoned);
    t.in_use = false;
}

// The lowest sequence of a target that holds anything not yet settled.
std::uint64_t Collector::oldest_unsettled() const {
    std::uint64_t oldest = UINT64_MAX;
    for (const auto& t : targets_) {
        if (t->in_use && !t->empty()) oldest = std::min(oldest, t->sequence);
    }
    return oldest;
}

}  // namespace qlcshape
