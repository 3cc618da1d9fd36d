// SPDX-License-Identifier: Apache-2.0
// docs/write_path.md: Write of part of a block, Trim.
#include "shard/write_queue.h"

#include "base/canary.h"

namespace qlcshape {

WriteQueue::WriteQueue(ShardContext& shard, Reads& reads, SegmentPipeline& pipeline)
    : shard_(shard), reads_(reads), pipeline_(pipeline), merge_memory_(2 * kBlockBytes) {}

bool WriteQueue::pump() {
    bool any = false;
    while (!writes_.empty() && !shard_.has_failed()) {
        PageOp& op = writes_.front();
        if (!ready(op)) {
            if (!merge_failed_ || merges_pending_ != 0) break;
            merge_failed_ = false;
            writes_.pop_front();
            shard_.finish_failed(op, Errc::media_error, op.bad_lba);
            continue;
        }
        if (op.kind == OpKind::trim && !op.needed) {  // nothing there to trim
            writes_.pop_front();
            shard_.finish(op);
        } else if (!pipeline_.append(writes_)) {
            break;
        }
        any = true;
    }
    return any;
}

// What must be known before the write at the front may be appended. Writes are appended in order,
// so nothing can come between the merge of old contents and the append.
bool WriteQueue::ready(PageOp& op) {
    if (op.kind == OpKind::trim) return trim_ready(op);
    if (!op.head_partial() && !op.tail_partial()) return true;
    if (merges_unjournaled(op)) return false;
    if (op.old_contents != nullptr) return true;
    // A trim that was appended before but is not yet in the table would be overlooked.
    const bool trims_applied = !any_trim_unapplied(shard_.ram) || canary(Canary::merge_over_trim);
    if (merges_pending_ == 0 && trims_applied && !merge_failed_) start_merge(op);
    return op.old_contents != nullptr;
}

bool WriteQueue::trim_ready(PageOp& op) {
    if (op.checked) return true;
    if (look_pending_) return false;
    op.owner = this;
    op.ready = [](PageWaiter& waiter, CachedPage* cached) {
        static_cast<WriteQueue*>(waiter.owner)
            ->look_before_trim(static_cast<PageOp&>(waiter), cached);
    };
    look_pending_ = true;
    if (CachedPage* cached = shard_.cache.get(page_of(op.first), op)) op.ready(op, cached);
    return op.checked;
}

// A tombstone is wanted only where something is mapped, or about to be. The others would take slots
// for ever: GC carries each as long as an entry has its version.
void WriteQueue::look_before_trim(PageOp& op, const CachedPage* cached) {
    look_pending_ = false;
    op.checked = true;
    if (cached == nullptr) return shard_.page_damaged();
    for (std::uint32_t i = 0; i < op.blocks && !op.needed; ++i) {
        const Lba lba(op.first.value + i);
        const PmtEntry entry = cached->entries[lba.value % kPageEntries];
        op.needed = entry.mapped() || entry.reason() == Unmapped::poisoned ||
                    shard_.overlay.find(lba) != nullptr;
    }
}

bool WriteQueue::bypasses(Lba lba) const {
    const RamPlace* ram = shard_.overlay.find(lba);
    return ram != nullptr && shard_.ram[ram->segment].bypasses(ram->slot);
}

// Old contents that bypass the TPS are not durable before their segment is. Were they in this
// write's block, and its record outlived that segment, part of an atomic write would be there.
bool WriteQueue::merges_unjournaled(const PageOp& op) const {
    return (op.head_partial() && bypasses(op.first)) ||
           (op.tail_partial() && bypasses(Lba(op.first.value + op.blocks - 1)));
}

// Reads the old contents of the partial blocks at the write's ends.
void WriteQueue::start_merge(PageOp& op) {
    const bool wanted[2] = {op.head_partial(), op.tail_partial()};
    merges_pending_ = (wanted[0] ? 1u : 0u) + (wanted[1] ? 1u : 0u);
    for (std::uint32_t i = 0; i < 2; ++i) {
        if (!wanted[i]) continue;
        PageOp& read = merge_reads_[i];
        read = PageOp{};
        read.kind = OpKind::read;
        read.first = i == 0 ? op.first : Lba(op.first.value + op.blocks - 1);
        read.blocks = 1;
        read.bytes = kBlockBytes;
        read.data = merge_memory_.data() + i * kBlockBytes;
        read.context = this;
        read.done = [](PageOp& done) { static_cast<WriteQueue*>(done.context)->merge_read(done); };
    }
    for (std::uint32_t i = 0; i < 2; ++i) {
        if (wanted[i]) reads_.start(merge_reads_[i]);
    }
}

void WriteQueue::merge_read(PageOp& read) {
    PageOp& write = writes_.front();
    // Old contents that are lost: to write zeroes for them would make the loss silent.
    if (read.failed) {
        merge_failed_ = true;
        write.bad_lba = read.first;
    } else {
        shard_.counters.subtract(Counter::user_read_bytes, read.bytes);
    }
    if (--merges_pending_ == 0 && !merge_failed_) write.old_contents = merge_memory_.data();
}

void WriteQueue::fail_all() {
    if (!rests()) return;
    shard_.fail_all(writes_.take());
}

}  // namespace qlcshape
