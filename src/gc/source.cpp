// SPDX-License-Identifier: Apache-2.0
// One segment of the victim: header, lookup, read, append. On the collector's thread.
//
//   idle -> header -> lookup -> read -> trims -> append -> idle
//              |        ^                 ^  |
//              v        |                 +--+  one block of tombstones at a time
//           rebuild ----+
//
// Up to `append` nothing is changed in the table, and a trim that was carried stands in two places,
// which is as right as in one. So a source can be dropped at any step: where a header or a block of
// tombstones can't be read or rebuilt, or a page of the table is damaged, it is not known what the
// segment still holds that is needed. Then victim_damaged_ is set, and the band keeps its place and
// its contents.
//
// What is asked may be outdated when the answer arrives. Either way it is right: a block that a
// user overwrites in between is moved in vain, and loses the exchange (target.cpp). A block that
// the table does not lead to now will never be led to again, since each place is published once.
#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "base/crc32c.h"
#include "gc/collector.h"

namespace qlcshape {

bool Collector::start_source() {
    if (!victim_ || closing_ || victim_damaged_) return false;
    bool any = false;
    for (Source& s : sources_) {
        if (s.step != Step::idle || victim_->next == victim_->segments) continue;
        s.segment = victim_->next++;
        s.step = Step::header;
        s.trims.clear();
        s.moved = s.next_slot = s.trim_slot = s.reads_used = s.reads_pending = 0;
        s.next_trim = 0;
        s.drives_away = false;
        const ArrayLayout& l = array_.layout;
        Io& io = s.header_io;
        io = array_.segment_io(IoKind::read, victim_->band, s.segment, 0, l.header_bytes(),
                               s.memory);
        s.reads_pending = 1;
        any = true;
        if (io.device == nullptr) {  // missing, or no drive has that column
            s.step = Step::rebuild;
            continue;
        }
        io.context = &s;
        io.done = [](Io& done) { static_cast<Source*>(done.context)->reads_pending = 0; };
        queue_.submit(io);
    }
    return any;
}

bool Collector::step(Source& s) {
    switch (s.step) {
        case Step::header:
            if (s.reads_pending != 0) return false;
            header_read(s);
            return true;
        case Step::rebuild:
            if (rebuild_.busy() || s.reads_pending == 0) return false;
            rebuild_.header_of(victim_->band, victim_->sequence, s.segment, [this, &s](bool good) {
                s.reads_pending = 0;
                // Without the header nothing says which blocks lie here: the whole band stays.
                if (good) {
                    std::memcpy(s.memory, rebuild_.header().bytes().data(),
                                rebuild_.header().bytes().size());
                    counters_.add(Counter::reconstructed, array_.layout.header_blocks);
                    send_lookups(s);
                } else {
                    counters_.add(Counter::unreadable, array_.layout.header_blocks);
                    victim_damaged_ = true;
                    s.step = Step::idle;
                }
            });
            return true;
        case Step::lookup:
            if (s.batches_pending != 0) return false;
            looked_up(s);
            return true;
        case Step::read:
            if (s.reads_pending != 0) return false;
            reads_done(s);
            return true;
        case Step::trims:
            if (s.batches_pending != 0) return false;
            return next_trims(s);
        case Step::append:
            if (!append(s)) return false;
            finish(s);
            return true;
        case Step::idle:
            return false;
    }
    return false;
}

// A header of an older life of the band may be whole: the drive kept old bytes through a discard
// and then lost a write. To believe it would lose what the segment really holds.
void Collector::header_read(Source& s) {
    if (s.header_io.kept) leave_memory(s);
    const bool good = s.header_io.error_number == 0 &&
                      header_of(s).valid(array_.array, victim_->band, s.segment) &&
                      header_of(s).fixed().band_sequence == victim_->sequence;
    if (good) {
        send_lookups(s);
    } else {
        counters_.add(Counter::verify_failed, 1);
        if (s.header_io.error_number == 0)
            s.header_io.device->count_mismatch(s.header_io.offset, 1);
        s.reads_pending = 1;
        s.step = Step::rebuild;
    }
}

MapBatch& Collector::batch_for(std::vector<MapBatch>& batches, Lba lba) {
    return batches[array_.shard_of(page_of(lba))];
}

void Collector::clear(std::vector<MapBatch>& batches, MapKind kind) {
    for (MapBatch& b : batches) {
        b.kind = kind;
        b.items.clear();
    }
}

// From here on a batch is the shard's, items and all, until take_replies() has it back.
void Collector::send(std::vector<MapBatch>& batches, std::uint32_t& pending) {
    QS_ASSERT(pending == 0);
    for (MapBatch& b : batches) pending += b.items.empty() ? 0 : 1;
    for (std::size_t i = 0; i < batches.size(); ++i) {
        if (!batches[i].items.empty()) shards_[i]->send(batches[i]);
    }
}

// Asks of each slot whether the table has exactly the entry that led here: place and checksum. A
// poisoned slot has no place in the table: there the version is what identifies it. It is carried,
// too, for otherwise a rebuilt table would find an older version and pass it for the newest.
void Collector::send_lookups(Source& s) {
    const ArrayLayout& l = array_.layout;
    clear(s.batches, MapKind::lookup);
    const SegmentHeader header = header_of(s);
    for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
        s.wanted[slot] = s.damaged[slot] = 0;
        const Entry e = header.entry(slot);
        MapItem item;
        item.lba = e.lba;
        item.slot = slot;
        if (e.kind == EntryKind::data) {
            item.expected = PmtEntry::make_mapped(l, l.pba(victim_->band, s.segment, slot), e.crc);
        } else if (e.kind == EntryKind::poisoned && !canary(Canary::drop_poison)) {
            item.expected = PmtEntry::make_unmapped(Unmapped::poisoned, e.version);
        } else {
            continue;
        }
        batch_for(s.batches, e.lba).items.push_back(item);
    }
    s.step = Step::lookup;
    send(s.batches, s.batches_pending);
}

void Collector::looked_up(Source& s) {
    for (const MapBatch& b : s.batches) {
        for (const MapItem& item : b.items) {
            if (item.failed) victim_damaged_ = true;
            if (item.matched) s.wanted[item.slot] = 1;
        }
    }
    if (victim_damaged_) {
        s.step = Step::idle;
        return;
    }
    start_reads(s);
}

// Reads what is wanted, and every block of tombstones, in runs; a few blocks in between are read
// along, right or wrong: with kBridge = 7, wanted slots 0 and 8 of a strip are one transfer of 36
// KiB, 0 and 9 are two. What a block of tombstones covers stands in the block, so each has to be
// read.
void Collector::start_reads(Source& s) {
    const ArrayLayout& l = array_.layout;
    const SegmentHeader header = header_of(s);
    auto needs_read = [&](std::uint32_t slot) {
        const EntryKind kind = header.entry(slot).kind;
        return kind == EntryKind::tombstones || (kind == EntryKind::data && s.wanted[slot] != 0);
    };
    s.step = Step::read;
    std::uint32_t used = 0;
    for (std::uint32_t slot = 0; slot < l.slots_per_segment;) {
        if (!needs_read(slot)) {
            ++slot;
            continue;
        }
        const Pba first = l.pba(victim_->band, s.segment, slot);
        const std::uint32_t most = reader_.run_length(first, l.slots_per_segment - slot);
        std::uint32_t n = 1;
        for (std::uint32_t i = 1; i < most && i - n <= kBridge; ++i) {
            if (needs_read(slot + i)) n = i + 1;
        }
        BlockRead& read = s.reads[used++];
        read.first = first;
        read.blocks = n;
        read.asked = 0;
        read.data = slot_data(s, slot);
        for (std::uint32_t i = 0; i < n; ++i) {
            if (needs_read(slot + i)) read.asked |= 1u << i;
            const Entry e = header.entry(slot + i);
            read.expected[i] = PmtEntry::make_mapped(l, Pba(first.value + i), e.crc);
            read.lbas[i] = e.lba;
        }
        read.context = &s;
        read.done = [](BlockRead& done) {
            auto& source = *static_cast<Source*>(done.context);
            Collector& gc = *source.owner;
            const std::uint32_t at = gc.array_.layout.slot_of(done.first);
            for (std::uint32_t i = 0; i < done.blocks; ++i) {
                if ((done.bad >> i & 1) != 0) source.damaged[at + i] = 1;
            }
            source.drives_away |= done.drives_away;
            --source.reads_pending;
        };
        slot += n;
    }
    s.reads_used = s.reads_pending = used;
    for (std::uint32_t i = 0; i < used; ++i) reader_.read(s.reads[i]);
}

// All of it, to a drive that may still write to a part. What was read goes along.
void Collector::leave_memory(Source& s) {
    const ArrayLayout& l = array_.layout;
    Buffer fresh(l.segment_bytes);
    std::memcpy(fresh.data(), s.memory, l.segment_bytes);
    for (const BlockRead& read : std::span(s.reads).first(s.reads_used)) {
        std::memcpy(fresh.data() + l.slot_byte(l.slot_of(read.first)), read.data,
                    std::size_t{read.blocks} * kBlockBytes);
    }
    s.own = std::move(fresh);
    s.memory = s.own.data();
}

// With its drives what is lost here may come back: it must not be given up. Nor in a band that need
// not go: a cable or a controller may be at fault, and what it returns may be right again.
void Collector::reads_done(Source& s) {
    const auto elsewhere = [&](const BlockRead& read) {
        return read.data != slot_data(s, array_.layout.slot_of(read.first));
    };
    if (std::ranges::any_of(std::span(s.reads).first(s.reads_used), elsewhere)) leave_memory(s);
    bool keeps = s.drives_away;
    for (std::uint32_t slot = 0; victim_->to_mend && slot < array_.layout.slots_per_segment; ++slot)
        keeps |= s.wanted[slot] != 0 && s.damaged[slot] != 0;
    victim_damaged_ |= keeps;
    s.step = keeps ? Step::idle : Step::trims;
}

// Tombstones that still stand are carried: while an entry of the extent says "trimmed at this
// version", an older version of that LBA may lie in any band, and a table built from headers would
// bring it back. One block of them at a time, since a batch has room for the extents of one.
bool Collector::next_trims(Source& s) {
    const ArrayLayout& l = array_.layout;
    trims_looked_up(s);
    if (!append_trims(s)) return false;
    const SegmentHeader header = header_of(s);
    while (s.trim_slot < l.slots_per_segment &&
           header.entry(s.trim_slot).kind != EntryKind::tombstones) {
        ++s.trim_slot;
    }
    if (s.trim_slot == l.slots_per_segment) {
        s.step = Step::append;
        return true;
    }
    const std::uint32_t slot = s.trim_slot++;
    const std::byte* block = slot_data(s, slot);
    const std::uint32_t count = s.damaged[slot] != 0 ? 0 : tombstone_count(block);
    bool good = count != 0;
    for (std::uint32_t i = 0; good && i < count; ++i) {
        const Tombstone t = load_tombstone(block, i);
        good = page_of(t.lba).value < l.pmt_pages;
        MapItem item;
        item.lba = t.lba;
        item.blocks = t.blocks;
        item.expected = PmtEntry::make_unmapped(Unmapped::trimmed, t.version);
        batch_for(s.batches, t.lba).items.push_back(item);
    }
    if (!good) {
        clear(s.batches, MapKind::tombstone);
        victim_damaged_ = true;
        s.step = Step::idle;
        return true;
    }
    send(s.batches, s.batches_pending);
    return true;
}

void Collector::trims_looked_up(Source& s) {
    for (MapBatch& b : s.batches) {
        if (b.kind != MapKind::tombstone) continue;
        for (const MapItem& item : b.items) {
            if (item.failed) victim_damaged_ = true;
            if (item.matched && !canary(Canary::forget_trim))
                s.trims.push_back({item.lba, item.blocks, item.expected.version()});
        }
    }
    clear(s.batches, MapKind::tombstone);
}

// False where no target has room; goes on from next_slot when one has.
//
// Each block keeps its version, so that it never wins over a newer write, and its source's CRC, so
// that what memory or a bus damages on the way fails verification in the new place. A block that
// can't be read even with parity becomes a poisoned entry of the same version: an error for its
// readers, never old or wrong contents.
//
// last_target: sequences of targets only rise, so when all up to that one are settled, everything
// of the victim is durable elsewhere and in the table. The band may be freed then, not before.
bool Collector::append(Source& s) {
    const SegmentHeader header = header_of(s);
    const ArrayLayout& l = array_.layout;
    for (; s.next_slot < l.slots_per_segment; ++s.next_slot) {
        if (s.wanted[s.next_slot] == 0) continue;
        Target* target = open_target();
        if (target == nullptr) return false;
        Entry e = header.entry(s.next_slot);
        PmtEntry from;
        if (e.kind == EntryKind::data) {
            from = PmtEntry::make_mapped(l, l.pba(victim_->band, s.segment, s.next_slot), e.crc);
        } else {
            from = PmtEntry::make_unmapped(Unmapped::poisoned, e.version);
        }
        std::byte* to = target->slot_data(target->fill());
        if (e.kind == EntryKind::poisoned || s.damaged[s.next_slot] != 0) {
            std::memset(to, 0, kBlockBytes);
            e = Entry{EntryKind::poisoned, e.lba, e.version, zero_block_crc32c()};
            ++target->poisoned;
        } else {
            std::memcpy(to, slot_data(s, s.next_slot), kBlockBytes);
        }
        target->from[target->append(e)] = from;
        victim_->last_target = target->sequence;
        ++s.moved;
        if (target->room() == 0) seal_target();
    }
    return true;
}

// False where no target has room; goes on from next_trim when one has. Before the next block of
// tombstones is looked at: there is memory for the extents of one.
bool Collector::append_trims(Source& s) {
    for (; s.next_trim < s.trims.size(); ++s.next_trim) {
        Target* target = open_target();
        if (target == nullptr) return false;
        target->append_tombstone(s.trims[s.next_trim]);
        victim_->last_target = target->sequence;
    }
    s.trims.clear();
    s.next_trim = 0;
    return true;
}

void Collector::finish(Source& s) {
    gate_.reclaimed(array_.layout.slots_per_segment, s.moved);
    counters_.add(Counter::gc_blocks_moved, s.moved);
    s.step = Step::idle;
}

}  // namespace qlcshape
