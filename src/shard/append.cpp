// SPDX-License-Identifier: Apache-2.0
// The write path up to the acknowledgement: into the open segment, into the TPS, sealed for commit.
// On the shard's thread, which alone orders the writes to its blocks. docs/write_path.md: Write,
// Bypass, An atomic write over two segments, Write of part of a block, Trim.
#include <algorithm>

#include "base/assert.h"
#include "base/canary.h"
#include "base/crc32c.h"
#include "shard/shard.h"

namespace qlcshape {

bool Shard::pump_writes() {
    bool any = false;
    // Only the front: a write that has to wait holds up all behind it. Their order is that of the
    // versions, and between a merge's reading and its append nothing else may be appended.
    while (!writes_.empty() && !failed_) {
        PageOp& op = writes_.front();
        if (!prepare(op)) {
            if (!merge_failed_ || merges_pending_ != 0) break;
            merge_failed_ = false;
            writes_.pop_front();
            finish_failed(op, Errc::media_error, op.bad_lba);
            continue;
        }
        if (op.kind == OpKind::trim && !op.needed) {  // nothing there to trim
            writes_.pop_front();
            finish(op);
        } else if (!(op.kind == OpKind::trim ? append_trim(op) : append(op))) {
            break;
        }
        any = true;
    }
    if (closing_ && writes_.empty() && !open().empty() && !open().sealed &&
        span_.segment == nullptr && can_open_next()) {
        seal();
        open_next();
        any = true;
    }
    return any;
}

// What must be known before the write at the front may be appended. Writes are appended in order,
// so nothing can come between the merge of old contents and the append.
bool Shard::prepare(PageOp& op) {
    if (op.kind == OpKind::trim) {
        if (op.checked) return true;
        if (trim_waiting_) return false;
        op.ready = [](PageWaiter& waiter, CachedPage* cached) {
            auto& trim = static_cast<PageOp&>(waiter);
            trim.shard->trim_waiting_ = false;
            trim.checked = true;
            trim.shard->look_before_trim(trim, cached);
        };
        trim_waiting_ = true;
        if (CachedPage* cached = cache_.get(page_of(op.first), op)) op.ready(op, cached);
        return op.checked;
    }
    if (!op.head_partial() && !op.tail_partial()) return true;
    if (merges_unjournaled(op)) return false;
    if (op.merged) return true;
    // A trim that was appended before but is not yet in the table would be overlooked.
    const bool trims_applied = !any_trim_unapplied() || canary(Canary::merge_over_trim);
    if (merges_pending_ == 0 && trims_applied && !merge_failed_) start_merge(op);
    return op.merged;
}

bool Shard::any_trim_unapplied() const {
    return std::ranges::any_of(segments_, [](const auto& s) { return s->trims_unapplied != 0; });
}

// Old contents that bypass the TPS are not durable before their segment is. Were they in this
// write's block, and its record outlived that segment, part of an atomic write would be there.
bool Shard::merges_unjournaled(const PageOp& op) const {
    const auto unjournaled = [this](Lba lba) {
        const RamPlace* ram = overlay_.find(lba);
        if (ram == nullptr) return false;
        const RamSegment& s = *segments_[ram->segment];
        return s.sealed && s.sequence > durable_sequence_ && ram->slot >= s.journaled;
    };
    return (op.head_partial() && unjournaled(op.first)) ||
           (op.tail_partial() && unjournaled(Lba(op.first.value + op.blocks - 1)));
}

// A tombstone is wanted only where something is mapped, or about to be. The others would take slots
// for ever: GC carries each as long as an entry has its version.
void Shard::look_before_trim(PageOp& op, const CachedPage* cached) {
    if (cached == nullptr) return damaged_page();
    for (std::uint32_t i = 0; i < op.blocks && !op.needed; ++i) {
        const Lba lba(op.first.value + i);
        const PmtEntry entry = cached->entries[lba.value % kPageEntries];
        op.needed =
            entry.mapped() || entry.reason() == Unmapped::poisoned || overlay_.find(lba) != nullptr;
    }
}

// Reads the old contents of the partial blocks at the write's ends.
void Shard::start_merge(PageOp& op) {
    const bool wanted[2] = {op.head_partial(), op.tail_partial()};
    merges_pending_ = (wanted[0] ? 1u : 0u) + (wanted[1] ? 1u : 0u);
    for (std::uint32_t i = 0; i < 2; ++i) {
        if (!wanted[i]) continue;
        PageOp& read = merge_reads_[i];
        read = PageOp{};
        read.shard = this;
        read.kind = OpKind::read;
        read.first = i == 0 ? op.first : Lba(op.first.value + op.blocks - 1);
        read.blocks = 1;
        read.bytes = kBlockBytes;
        read.data = merge_memory_.data() + i * kBlockBytes;
        read.context = &op;
        read.done = [](PageOp& done) {
            auto& write = *static_cast<PageOp*>(done.context);
            Shard& shard = *write.shard;
            // Old contents that are lost: to write zeroes for them would make the loss silent.
            if (done.failed) {
                shard.merge_failed_ = true;
                write.bad_lba = done.first;
            } else {
                shard.counters_.subtract(Counter::user_read_bytes, done.bytes);
            }
            if (--shard.merges_pending_ != 0) return;
            write.merged = !shard.merge_failed_;
        };
    }
    for (std::uint32_t i = 0; i < 2; ++i) {
        if (wanted[i]) start_read(merge_reads_[i]);
    }
}

bool Shard::can_open_next() const { return open_sequence_ - published_sequence_ < kRamSegments; }

void Shard::open_next() {
    QS_ASSERT(can_open_next());
    ++open_sequence_;
    RamSegment& s = open();
    s.reset();
    s.sequence = open_sequence_;
    s.journaled = s.trims_journaled = 0;
    s.hold_record = s.last_record = 0;
    QS_ASSERT(s.trims_unapplied == 0);
    s.awaits_record = s.sealed = s.committing = s.committed = false;
}

bool Shard::open_has_room_or_next() {
    if (!open().sealed) return true;
    if (!can_open_next()) return false;
    open_next();
    return true;
}

// Appends as much as goes; true when all of it is in, and the op is in the list it waits in.
bool Shard::append(PageOp& op) {
    if (span_.segment != nullptr) return false;        // its record comes first
    if (!open().sealed && open().room() == 0) seal();  // tombstones took the last slot
    if (!open_has_room_or_next()) return false;
    if (op.progress == 0) {
        // All of an atomic write goes into one record or one segment. So its space is asked for as
        // a whole, before the first block: halfway it could not wait.
        const std::uint32_t whole = op.atomic() ? op.blocks : 1;
        if (open().room() < whole && !can_open_next()) return false;
        if (op.atomic() && !gate_.admit(op.blocks)) return false;
        if (op.version.value == 0)
            op.version = Version(next_version_.fetch_add(1, std::memory_order_relaxed));
    }
    bool spans = false;
    while (op.progress < op.blocks) {
        if (!open_has_room_or_next()) return false;
        const std::uint32_t n = std::min(open().room(), op.blocks - op.progress);
        if (!op.atomic() && !gate_.admit(n)) return false;
        const std::uint32_t first_slot = open().fill();
        for (std::uint32_t i = 0; i < n; ++i) append_block(op, op.progress + i);
        op.progress += n;
        if (open().room() != 0) continue;
        spans = op.atomic() && op.progress < op.blocks;
        seal_full(op, spans ? open().fill() : first_slot);
        if (!spans) op.wait_segment = open_sequence_;
    }
    QS_ASSERT(&writes_.front() == &op);
    writes_.pop_front();
    counters_.add(Counter::user_written_bytes, op.bytes);
    if (open().sealed && !spans) {
        in_commit_.push_back(op);
    } else {
        pending_.push_back(op);
    }
    return true;
}

void Shard::append_block(PageOp& op, std::uint32_t index) {
    RamSegment& s = open();
    const std::uint32_t slot = s.fill();
    std::byte* to = s.slot_data(slot);
    const Lba lba(op.first.value + index);
    // Each checksum is of the copy, not of the caller's memory: if the caller changes that
    // meanwhile, the two still agree.
    const bool head = index == 0 && op.head_partial();
    const bool tail = index == op.blocks - 1 && op.tail_partial();
    std::uint32_t crc;
    if (head || tail) {
        const std::uint32_t skip = head ? op.head_skip : 0;
        const std::uint64_t bytes =
            head ? std::min<std::uint64_t>(op.bytes, kBlockBytes - skip) : op.tail_bytes();
        std::memcpy(to, merge_memory_.data() + (head ? 0 : kBlockBytes), kBlockBytes);
        const std::uint64_t from = head ? 0 : op.bytes - bytes;
        if (op.data == nullptr)
            std::memset(to + skip, 0, bytes);
        else
            std::memcpy(to + skip, op.data + from, bytes);
        crc = crc32c({to, kBlockBytes});
    } else if (op.data == nullptr) {
        std::memset(to, 0, kBlockBytes);
        crc = zero_block_crc32c();
    } else {
        crc = copy_block_crc32c(to, op.data + std::uint64_t{index} * kBlockBytes - op.head_skip);
    }
    s.append(Entry{EntryKind::data, lba, op.version, crc});
    // From here on reads see it. The table's entry stays: it leads to what is durable.
    overlay_.set(lba,
                 RamPlace{op.version, static_cast<std::uint32_t>(s.sequence % kRamSegments), slot});
}

bool Shard::append_trim(PageOp& op) {
    if (span_.segment != nullptr || !open_has_room_or_next()) return false;
    if (!open().has_tombstone_room()) {
        if (!can_open_next()) return false;
        seal();
        open_next();
    }
    if (open().tombstones() - open().trims_journaled >= kTpsTrims)
        return false;  // the record is full
    if (!gate_.admit(1)) return false;
    op.version = Version(next_version_.fetch_add(1, std::memory_order_relaxed));
    open().append_tombstone(Tombstone{op.first, op.blocks, op.version});
    op.trim_segment = open_sequence_;
    ++open().trims_unapplied;
    writes_.pop_front();
    pending_.push_back(op);
    counters_.add(Counter::user_trimmed_bytes, op.bytes);
    return true;
}

// `op` has filled the open segment. Its own blocks bypass the TPS: they are acknowledged when the
// segment is committed. What other writes have there up to slot `end` in no record yet goes into
// one first, and so do all blocks of an atomic write that goes on in the next segment. With ten
// slots, of which 0 to 5 are journaled and 6 and 7 are a small write's:
//
//   a large op takes 8, 9, and goes on      span [6, 8): the small write. 8 and 9 bypass; the
//                                           segment is committed once the record is durable
//   an atomic op takes 8, 9, and goes on    span [6, 10), and the rest from the next segment: one
//                                           record. Without it a commit of 8 and 9 alone, and a
//                                           cut, would leave half of the atomic write
void Shard::seal_full(PageOp& op, std::uint32_t end) {
    RamSegment& s = open();
    const bool spans = op.atomic() && op.progress < op.blocks;
    if (span_.segment == nullptr && (spans || !pending_.empty())) {
        span_ = Span{&s, s.journaled, end};
        s.awaits_record = true;
    }
    s.finish_filling();
    s.sealed = true;
}

// The open segment takes no more, full or not. What of it is in no record bypasses the TPS.
void Shard::seal() {
    RamSegment& s = open();
    QS_ASSERT(!s.sealed && span_.segment == nullptr);
    s.finish_filling();
    s.sealed = true;
    while (!pending_.empty()) {
        PageOp& op = pending_.pop_front();
        op.wait_segment = s.sequence;
        in_commit_.push_back(op);
    }
}

// Group commit: everything appended since the last record goes into one. Where a segment was filled
// in between, what is left of that one first. The record is written from the segments' memory, so
// a segment keeps it until last_record is acknowledged (advance_durable()).
bool Shard::journal() {
    if (pending_.empty() || !tps_.record_free() || failed_) return false;
    RamSegment& s = open();
    RamSegment& trims = span_.segment != nullptr ? *span_.segment : s;
    Tps::Contents contents;
    if (span_.segment != nullptr) contents.pieces[0] = {span_.segment, span_.from, span_.to};
    if (!s.sealed) contents.pieces[1] = {&s, s.journaled, s.fill()};
    contents.trims = &trims;
    contents.first_trim = trims.trims_journaled;
    contents.last_trim = trims.tombstones();
    contents.last_segment = s.sequence;
    contents.frontier = bands_.user_frontier();
    contents.awaited = span_.segment != nullptr;
    if (!tps_.ring_has_room(contents)) return make_ring_room(contents.frontier);
    const std::uint64_t record = tps_.write(contents, pending_.take());
    trims.trims_journaled = trims.tombstones();
    if (!s.sealed) s.journaled = s.fill();
    s.last_record = record;
    if (span_.segment != nullptr) {
        span_.segment->hold_record = span_.segment->last_record = record;
        span_.segment->awaits_record = false;
        span_ = Span{};
    }
    return true;
}

// Commits bring back space, and a record must name the new tail before it is used. Where no such
// record helps now, the open segment is committed as it is: what waits bypasses the TPS, at the
// price of padding, rather than wait for a tail that perhaps only its own commit can move.
bool Shard::make_ring_room(const Placement& frontier) {
    if (tps_.space_to_tell()) {
        Tps::Contents nothing;
        nothing.frontier = frontier;
        tps_.write(nothing, OpFifo{});
        return true;
    }
    if (span_.segment != nullptr || !can_open_next()) return false;
    seal();
    open_next();
    return true;
}

void Shard::record_acked(OpFifo ops, bool good) {
    if (!good) failed_ = true;
    while (!ops.empty()) {
        PageOp& op = ops.pop_front();
        if (!good)
            finish_failed(op, Errc::io_error, op.first);
        else if (op.wait_segment > durable_sequence_)
            in_commit_.push_back(op);
        else if (op.kind == OpKind::trim)
            apply_trim(op);
        else
            finish(op);
    }
}

// In the order of sequence. A segment that shares an atomic write with the next one never precedes
// their record: were it durable first, and the record torn, half of the write would be there.
bool Shard::start_commits() {
    bool any = false;
    while (commit_cursor_ < open_sequence_ || (commit_cursor_ == open_sequence_ && open().sealed)) {
        RamSegment& s = segment(commit_cursor_);
        if (s.awaits_record || s.hold_record > tps_.acked_through()) break;
        s.committing = true;
        s.tps_acked = tps_.acked_through();
        committer_.commit(s);
        ++commit_cursor_;
        any = true;
    }
    return any;
}

}  // namespace qlcshape
