// SPDX-License-Identifier: Apache-2.0
#include "journal/tps.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/canary.h"
#include "base/probe.h"

namespace qlcshape {

Tps::Tps(const ArrayContext& array, std::uint32_t shard, IoQueue& queue, Counters& counters)
    : array_(array),
      shard_(shard),
      queue_(queue),
      counters_(counters),
      ring_bytes_(array.layout.tps_ring_bytes(array.shards)),
      ring_offset_(array.layout.tps_ring_offset(array.shards, shard)) {
    header_capacity_ =
        std::uint64_t{tps_header_blocks(tps_max_entries(array.layout))} * kBlockBytes;
    headers_ = Buffer(kRecords * header_capacity_);
    largest_record_ =
        header_capacity_ + 2 * std::uint64_t{array.layout.slots_per_segment} * kBlockBytes;
    for (Record& r : records_) r.ios.reserve(DrivesNow::kMost);
}

bool Tps::record_free() const { return next_ - oldest_ < kRecords; }

std::uint64_t Tps::record_bytes(const Contents& c) const {
    return std::uint64_t{tps_header_blocks(c.entries()) + c.blocks()} * kBlockBytes;
}

// A record doesn't wrap: where it wouldn't fit before the ring's end it starts at its beginning.
// The rest before the end counts as used until the tail has passed it.
std::uint64_t Tps::start_of(std::uint64_t bytes) const {
    const std::uint64_t place = head_ % ring_bytes_;
    return place + bytes <= ring_bytes_ ? head_ : head_ + (ring_bytes_ - place);
}

bool Tps::ring_has_room(const Contents& c) const {
    // One block is always left for a record that only names the tail. And room for one that a
    // sealed segment waits for: if all records are of that segment, nothing else would ever bring
    // back space. Twice the largest: it may have to skip almost as much before the ring's end.
    const std::uint64_t bytes = record_bytes(c);
    std::uint64_t spare = c.entries() == 0 ? 0 : kBlockBytes;
    if (c.entries() != 0 && !c.awaited) spare += 2 * largest_record_;
    return start_of(bytes) + bytes + spare - durable_tail_ <= ring_bytes_ ||
           canary(Canary::reuse_tps_early);
}

std::uint64_t Tps::write(const Contents& c) {
    QS_ASSERT(record_free() && ring_has_room(c));
    const std::uint64_t bytes = record_bytes(c);
    const std::uint64_t start = start_of(bytes);
    head_ = start + bytes;
    Record& r = record(next_);
    r.sequence = next_++;
    r.failed = false;
    r.tail = tail_;
    // A record without entries is never needed: it is not noted, and the next tail passes it.
    if (c.entries() != 0) note_use(c.last_segment);
    std::byte* header = headers_.data() + r.sequence % kRecords * header_capacity_;
    TpsRecord view({header, header_capacity_});
    encode(c, view, start % ring_bytes_);
    submit(r, c, header, start % ring_bytes_);
    counters_.add(Counter::tps_written_bytes, bytes);
    QS_PROBE(tps_record, r.sequence, bytes);
    return r.sequence;
}

void Tps::encode(const Contents& c, TpsRecord& view, std::uint64_t position) {
    TpsRecordFixed& f = view.fixed();
    f = TpsRecordFixed{};
    f.array = array_.array;
    f.epoch = array_.epoch;
    f.epoch_key = array_.epoch_key;
    f.shard = shard_;
    f.sequence = next_ - 1;
    f.position = position;
    f.acked_through = acked_through_;
    f.tail = tail_sequence_;
    f.band = c.frontier.band.value;
    f.band_sequence = c.frontier.sequence;
    f.frontier = c.frontier.frontier;
    f.payload_blocks = c.blocks();
    f.entries = c.entries();
    std::memset(static_cast<void*>(&f + 1), 0, view.header_bytes() - sizeof(f));
    std::uint32_t index = 0;
    for (const Piece& piece : c.pieces) {
        for (std::uint32_t slot = piece.from; slot < piece.to; ++slot) {
            view.set_entry(index++, piece.segment->entry(slot));
        }
    }
    for (std::uint32_t i = c.first_trim; i < c.last_trim; ++i) {
        const Tombstone t = c.trims->tombstone(i);
        view.set_entry(index++, Entry{EntryKind::tombstones, t.lba, t.version, t.blocks});
    }
    view.seal();
}

void Tps::submit(Record& r, const Contents& c, std::byte* header, std::uint64_t position) {
    std::uint64_t bytes = 0;
    std::size_t parts = 0;
    const auto add = [&](std::byte* data, std::uint64_t blocks) {
        if (blocks == 0) return;
        r.parts[parts++] = {data, blocks * kBlockBytes};
        bytes += blocks * kBlockBytes;
    };
    add(header, tps_header_blocks(c.entries()));
    for (const Piece& piece : c.pieces) {
        if (piece.count() != 0) add(piece.segment->slot_data(piece.from), piece.count());
    }
    r.ios.clear();
    for (Device* scm : array_.scm_written()) {
        Io io;
        io.kind = IoKind::write;
        io.point = PersistencePoint::tps_write;
        io.device = scm;
        io.offset = ring_offset_ + position;
        io.bytes = bytes;
        io.parts = {r.parts.data(), parts};
        // Not by a flush after it, which takes a thread of the kernel's each time.
        io.durable = scm->geometry().volatile_cache && !canary(Canary::skip_tps_flush) &&
                     !(canary(Canary::one_mirror) && scm != *array_.scm_in().begin());
        io.context = &r;
        io.done = [](Io& done) {
            auto& rec = *static_cast<Record*>(done.context);
            --rec.pending;
            if (done.error_number != 0) rec.failed = true;
        };
        r.ios.push_back(io);
    }
    r.pending = static_cast<std::uint32_t>(r.ios.size());
    for (Io& io : r.ios) queue_.submit(io);
}

// In the order of sequence: recovery ends the log at the first gap, so a record counts only if all
// before it are durable. After one that failed on a mirror nothing is acknowledged any more.
bool Tps::poll() {
    bool any = false;
    while (oldest_ < next_ && record(oldest_).pending == 0) {
        Record& r = record(oldest_);
        ++oldest_;
        if (r.failed) counters_.add(Counter::io_errors, 1);
        failed_ |= r.failed;  // recovery may end the log here: nothing after it counts
        if (!failed_) {
            acked_through_ = r.sequence;
            durable_tail_ = r.tail;
        }
        acked(r.sequence, !failed_);
        any = true;
    }
    return any;
}

void Tps::note_use(std::uint64_t segment) {
    if (uses_count_ != 0) {
        Use& last = uses_[(uses_begin_ + uses_count_ - 1) % uses_.size()];
        QS_ASSERT(last.segment <= segment);
        if (last.segment == segment) {
            last.end = head_;
            last.sequence = next_ - 1;
            return;
        }
    }
    QS_ASSERT(uses_count_ < uses_.size());
    uses_[(uses_begin_ + uses_count_++) % uses_.size()] = Use{segment, head_, next_ - 1};
}

void Tps::release(std::uint64_t segment) {
    while (uses_count_ != 0 && uses_[uses_begin_].segment <= segment) {
        tail_ = uses_[uses_begin_].end;
        tail_sequence_ = uses_[uses_begin_].sequence + 1;
        uses_begin_ = (uses_begin_ + 1) % uses_.size();
        --uses_count_;
    }
}

// Records without entries, which are in no use, may lie between the last use and the mark.
void Tps::old_ones_free() {
    if (tail_ >= renewal_.head) return;
    QS_ASSERT(uses_count_ == 0 || uses_[uses_begin_].end > renewal_.head);
    tail_ = renewal_.head;
    tail_sequence_ = renewal_.sequence;
}

}  // namespace qlcshape
