// SPDX-License-Identifier: Apache-2.0
// docs/write_path.md names what a crash leaves between any two steps: Write, Bypass, An atomic
// write over two segments, Trim, Commit, Publish.
#include "shard/pipeline.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/crc32c.h"

namespace qlcshape {

namespace {

// Block `index` of the write, as it will be on media. Returns its checksum: of the copy, not of the
// caller's memory, so that the two agree even if the caller changes that meanwhile.
std::uint32_t copy_block(const PageOp& op, std::uint32_t index, std::byte* to) {
    const bool head = index == 0 && op.head_partial();
    const bool tail = index == op.blocks - 1 && op.tail_partial();
    if (head || tail) {
        const std::uint32_t skip = head ? op.head_skip : 0;
        const std::uint64_t bytes =
            head ? std::min<std::uint64_t>(op.bytes, kBlockBytes - skip) : op.tail_bytes();
        std::memcpy(to, op.old_contents + (head ? 0 : kBlockBytes), kBlockBytes);
        const std::uint64_t from = head ? 0 : op.bytes - bytes;
        if (op.data == nullptr)
            std::memset(to + skip, 0, bytes);
        else
            std::memcpy(to + skip, op.data + from, bytes);
        return crc32c({to, kBlockBytes});
    }
    if (op.data == nullptr) {
        std::memset(to, 0, kBlockBytes);
        return zero_block_crc32c();
    }
    return copy_block_crc32c(to, op.data + std::uint64_t{index} * kBlockBytes - op.head_skip);
}

}  // namespace

SegmentPipeline::SegmentPipeline(ShardContext& shard, Stream stream,
                                 std::span<RamSegment, kRamSegments> segments, Tps& tps,
                                 Publisher& publisher)
    : shard_(shard),
      segments_(segments),
      tps_(tps),
      publisher_(publisher),
      committer_(shard.array, shard.bands, stream, static_cast<std::uint8_t>(shard.index),
                 shard.queue, shard.counters) {
    open().open(open_sequence_);
    committer_.durable = [](SegmentBuffer& done) {
        static_cast<RamSegment&>(done).committed = true;
    };
}

void SegmentPipeline::open_next() {
    QS_ASSERT(can_open_next());
    ++open_sequence_;
    open().open(open_sequence_);
}

bool SegmentPipeline::open_has_room_or_next() {
    if (!open().sealed) return true;
    if (!can_open_next()) return false;
    open_next();
    return true;
}

bool SegmentPipeline::append(OpFifo& writes) {
    if (span_.segment != nullptr) return false;  // its record comes first
    PageOp& op = writes.front();
    const bool is_trim = op.kind == OpKind::trim;
    if (!(is_trim ? append_trim(op) : append_write(op))) return false;
    writes.pop_front();
    // Of a write that goes on in the next segment, all goes into one record with the span.
    if (!is_trim && open().sealed)
        in_commit_.push_back(op);
    else
        pending_.push_back(op);
    return true;
}

// True when all of it is in.
bool SegmentPipeline::append_write(PageOp& op) {
    if (!open().sealed && open().room() == 0) seal();  // tombstones took the last slot
    if (!open_has_room_or_next()) return false;
    if (op.progress == 0) {
        // All of an atomic write goes into one record or one segment. So its space is asked for as
        // a whole, before the first block: halfway it could not wait.
        const std::uint32_t whole = op.atomic() ? op.blocks : 1;
        if (open().room() < whole && !can_open_next()) return false;
        if (op.atomic() && !shard_.gate.admit(op.blocks)) return false;
        if (op.version.value == 0) op.version = shard_.new_version();
    }
    while (op.progress < op.blocks) {
        if (!open_has_room_or_next()) return false;
        const std::uint32_t n = std::min(open().room(), op.blocks - op.progress);
        if (!op.atomic() && !shard_.gate.admit(n)) return false;
        const std::uint32_t first_slot = open().fill();
        for (std::uint32_t i = 0; i < n; ++i) append_block(op, op.progress + i);
        op.progress += n;
        if (open().room() != 0) continue;
        const bool spans = op.atomic() && op.progress < op.blocks;
        seal_full(op, spans ? open().fill() : first_slot);
        if (!spans) op.wait_segment = open_sequence_;
    }
    shard_.counters.add(Counter::user_written_bytes, op.bytes);
    return true;
}

void SegmentPipeline::append_block(const PageOp& op, std::uint32_t index) {
    RamSegment& s = open();
    const std::uint32_t slot = s.fill();
    const Lba lba(op.first.value + index);
    const std::uint32_t crc = copy_block(op, index, s.slot_data(slot));
    s.append(Entry{EntryKind::data, lba, op.version, crc});
    // From here on reads see it. The table's entry stays: it leads to what is durable.
    shard_.overlay.set(lba, RamPlace{op.version, s.index, slot});
}

// Packed into blocks at the segment's end. The table changes when the tombstone is durable.
bool SegmentPipeline::append_trim(PageOp& op) {
    if (!open_has_room_or_next()) return false;
    if (!open().has_tombstone_room()) {
        if (!can_open_next()) return false;
        seal();
        open_next();
    }
    RamSegment& s = open();
    if (s.tombstones() - s.trims_journaled >= kTpsTrims) return false;  // the record is full
    if (!shard_.gate.admit(1)) return false;
    op.version = shard_.new_version();
    s.append_tombstone(Tombstone{op.first, op.blocks, op.version});
    op.trim_segment = &s;
    ++s.trims_unapplied;
    shard_.counters.add(Counter::user_trimmed_bytes, op.bytes);
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
void SegmentPipeline::seal_full(const PageOp& op, std::uint32_t end) {
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
void SegmentPipeline::seal() {
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

bool SegmentPipeline::seal_rest() {
    if (open().empty() || open().sealed || span_.segment != nullptr || !can_open_next())
        return false;
    seal();
    open_next();
    return true;
}

// Group commit: everything appended since the last record goes into one. Where a segment was filled
// in between, what is left of that one first. The record is written from the segments' memory, so
// a segment keeps it until last_record is acknowledged (advance_durable()).
bool SegmentPipeline::journal() {
    if (pending_.empty() || !tps_.record_free() || shard_.has_failed()) return false;
    RamSegment& s = open();
    RamSegment& trims = span_.segment != nullptr ? *span_.segment : s;
    Tps::Contents contents;
    if (span_.segment != nullptr) contents.pieces[0] = {span_.segment, span_.from, span_.to};
    if (!s.sealed) contents.pieces[1] = {&s, s.journaled, s.fill()};
    contents.trims = &trims;
    contents.first_trim = trims.trims_journaled;
    contents.last_trim = trims.tombstones();
    contents.last_segment = s.sequence;
    contents.frontier = shard_.bands.user_frontier();
    contents.awaited = span_.segment != nullptr;
    if (!tps_.ring_has_room(contents)) return make_ring_room(contents.frontier);
    const std::uint64_t record = tps_.write(contents);
    in_record_[record % Tps::kRecords] = pending_.take();
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
bool SegmentPipeline::make_ring_room(const Placement& frontier) {
    if (tell_tail(frontier)) return true;
    if (span_.segment != nullptr || !can_open_next()) return false;
    seal();
    open_next();
    return true;
}

bool SegmentPipeline::tell_tail(const Placement& frontier) {
    if (!tps_.space_to_tell()) return false;
    Tps::Contents nothing;
    nothing.frontier = frontier;
    tps_.write(nothing);
    return true;
}

void SegmentPipeline::begin_renewal() {
    renewed_before_ = open_sequence_;
    tps_.begin_renewal();
}

bool SegmentPipeline::renew() {
    if (shard_.has_failed()) return false;
    const bool nothing_there = open_sequence_ == renewed_before_ && open().empty() &&
                               span_.segment == nullptr && durable_sequence_ + 1 == open_sequence_;
    if (!nothing_there && durable_sequence_ < renewed_before_) {
        if (open_sequence_ == renewed_before_ && shard_.gate.user_may_open()) seal_rest();
        return false;
    }
    if (nothing_there) tps_.release(open_sequence_);
    tps_.old_ones_free();
    if (!tps_.renewed()) tell_tail(shard_.bands.user_frontier());
    return tps_.renewed();
}

void SegmentPipeline::record_acked(std::uint64_t record, bool good) {
    const OpFifo ops = in_record_[record % Tps::kRecords].take();
    if (good) return acknowledge(ops);
    shard_.failed = true;
    shard_.fail_all(ops);
}

// What no longer waits for anything. A part of a write may still be in a segment that is not
// durable.
void SegmentPipeline::acknowledge(OpFifo ops) {
    while (!ops.empty()) {
        PageOp& op = ops.pop_front();
        if (op.wait_segment > durable_sequence_)
            in_commit_.push_back(op);
        else if (op.kind == OpKind::trim)
            publisher_.apply_trim(op);
        else
            shard_.finish(op);
    }
}

// In the order of sequence. A segment that shares an atomic write with the next one never precedes
// their record: were it durable first, and the record torn, half of the write would be there.
bool SegmentPipeline::start_commits() {
    bool any = false;
    while (commit_cursor_ < open_sequence_ || (commit_cursor_ == open_sequence_ && open().sealed)) {
        RamSegment& s = segment(commit_cursor_);
        if (s.awaits_record || s.hold_record > tps_.acked_through()) break;
        s.tps_acked = tps_.acked_through();
        committer_.commit(s);
        ++commit_cursor_;
        any = true;
    }
    return any;
}

// In the order of sequence: everything up to here is committed, and no record that reads from it is
// in flight any more.
bool SegmentPipeline::advance_durable() {
    const std::uint64_t before = durable_sequence_;
    while (durable_sequence_ + 1 <= open_sequence_) {
        RamSegment& s = segment(durable_sequence_ + 1);
        if (!s.sealed || !s.committed || s.last_record > tps_.acked_through()) break;
        s.durable = true;
        ++durable_sequence_;
    }
    if (durable_sequence_ == before) return false;
    tps_.release(durable_sequence_);
    // Trims are applied before later writes of the same segment are published.
    acknowledge(in_commit_.take());
    return true;
}

// One segment at a time. A segment that counts as published may be passed over by recovery,
// tombstones and all, so the publisher is asked for both.
bool SegmentPipeline::publish() {
    bool any = false;
    while (published_sequence_ < durable_sequence_) {
        RamSegment& s = segment(published_sequence_ + 1);
        any |= publisher_.enter(s);
        if (!Publisher::entered(s)) break;
        published(s);
        any = true;
    }
    return any;
}

// The segment's RAM is free. Where all are sealed there is one to open again.
void SegmentPipeline::published(RamSegment& s) {
    shard_.bands.published(s.placement, s.tombstone_blocks());
    s.sealed = false;
    ++published_sequence_;
    if (published_sequence_ == open_sequence_) open_next();
}

void SegmentPipeline::fail_all() {
    shard_.fail_all(pending_.take());
    shard_.fail_all(in_commit_.take());
}

}  // namespace qlcshape
