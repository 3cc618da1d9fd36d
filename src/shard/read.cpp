// SPDX-License-Identifier: Apache-2.0
// The read path: from RAM where the block is newest there, otherwise from the array, verified.
// On the shard's thread; direct_read.cpp is the same on a caller's.
#include <cstring>

#include "base/assert.h"
#include "shard/shard.h"

namespace qlcshape {

void Shard::look_for_data(PageOp& op) {
    op.ready = [](PageWaiter& waiter, CachedPage* cached) {
        auto& look = static_cast<PageOp&>(waiter);
        look.shard->tell_mapped(look, cached);
    };
    if (CachedPage* cached = cache_.get(page_of(op.first), op)) tell_mapped(op, cached);
}

// A block that was lost counts as mapped: a reader must meet the error, not take it for zeroes.
void Shard::tell_mapped(PageOp& op, const CachedPage* cached) {
    if (cached == nullptr) return finish_failed(op, Errc::media_error, op.first);
    for (std::uint32_t i = 0; i < op.blocks; ++i) {
        const Lba lba(op.first.value + i);
        const PmtEntry entry = cached->entries[lba.value % kPageEntries];
        bool mapped = entry.mapped() || entry.reason() == Unmapped::poisoned;
        if (recovered_ != nullptr) {
            if (auto it = recovered_->find(lba.value); it != recovered_->end())
                mapped = it->second.kind != EntryKind::tombstones;
        }
        op.data[i] = std::byte{mapped || overlay_.find(lba) != nullptr};
    }
    finish(op);
}

void Shard::start_read(PageOp& op) {
    op.progress = 0;
    op.reads_pending = 1;  // for the op itself, until all of it has begun
    if (!reads_.empty()) {
        reads_.push_back(op);
        return;
    }
    op.ready = [](PageWaiter& waiter, CachedPage* cached) {
        auto& read = static_cast<PageOp&>(waiter);
        read.shard->read_page(read, cached);
    };
    if (CachedPage* cached = cache_.get(page_of(op.first), op)) read_page(op, cached);
}

// Reads that ran out of chunks begin again where they stopped, with a fresh look at the table.
bool Shard::pump_reads() {
    bool any = false;
    while (!reads_.empty() && !idle_chunks_.empty()) {
        PageOp& op = reads_.pop_front();
        any = true;
        op.ready = [](PageWaiter& waiter, CachedPage* cached) {
            auto& read = static_cast<PageOp&>(waiter);
            read.shard->read_page(read, cached);
        };
        if (CachedPage* cached = cache_.get(page_of(op.first), op)) read_page(op, cached);
    }
    return any;
}

void Shard::read_page(PageOp& op, CachedPage* cached) {
    while (op.progress < op.blocks) {
        if (!read_block(op, cached == nullptr ? nullptr : cached->entries)) {
            reads_.push_back(op);
            return;
        }
    }
    end_read(op);
}

// Begins the next block, or a run of blocks; false where no chunk is free.
bool Shard::read_block(PageOp& op, const PmtEntry* entries) {
    if (read_without_drive(op, entries)) return true;
    if (idle_chunks_.empty()) return false;
    start_chunk(op, idle_chunks_.pop_front(), entries);
    return true;
}

// The next block, if it is in RAM, or is nowhere, or lost.
bool Shard::read_without_drive(PageOp& op, const PmtEntry* entries) {
    const Lba lba(op.first.value + op.progress);
    if (const RamPlace* ram = overlay_.find(lba)) {
        deliver(op, op.progress++, segments_[ram->segment]->slot_data(ram->slot));
        return true;
    }
    if (recovered_ != nullptr) {
        if (auto it = recovered_->find(lba.value); it != recovered_->end()) {
            const auto& [kind, data] = it->second;
            if (kind == EntryKind::poisoned)
                note_failure(op, Errc::media_error, lba);
            else
                deliver(op, op.progress, kind == EntryKind::data ? data.data() : nullptr);
            ++op.progress;
            return true;
        }
    }
    const PmtEntry entry = entries == nullptr ? PmtEntry{} : entries[lba.value % kPageEntries];
    if (entries == nullptr || (!entry.mapped() && entry.reason() == Unmapped::poisoned)) {
        note_failure(op, Errc::media_error, lba);
        ++op.progress;
        return true;
    }
    if (entry.mapped()) return false;
    deliver(op, op.progress++, nullptr);
    return true;
}

// Blocks that follow each other in the volume, on the drive, and are not newer in RAM. Their band
// has a reader more.
void Shard::take_run(PageOp& op, BlockRead& run, const PmtEntry* entries) {
    const ArrayLayout& l = array_.layout;
    const std::uint64_t first = op.first.value + op.progress;
    const Pba pba = entries[first % kPageEntries].pba(l);
    const std::uint32_t most = reader_.run_length(pba, op.blocks - op.progress);
    std::uint32_t n = 0;
    while (n < most) {
        const Lba lba(first + n);
        const PmtEntry entry = entries[lba.value % kPageEntries];
        if (!entry.mapped() || entry.pba(l).value != pba.value + n || overlay_.find(lba) != nullptr)
            break;
        if (recovered_ != nullptr && recovered_->contains(lba.value)) break;
        run.expected[n] = entry;
        run.lbas[n] = lba;
        ++n;
    }
    QS_ASSERT(n > 0);
    run.first = pba;
    run.blocks = n;
    op.progress += n;
    bands_.begin_read(l.band_of(pba));
}

void Shard::start_chunk(PageOp& op, ReadChunk& chunk, const PmtEntry* entries) {
    chunk.op = &op;
    chunk.first_block = op.progress;
    take_run(op, chunk.read, entries);
    chunk.read.context = &chunk;
    chunk.read.done = [](BlockRead& read) {
        auto& done = *static_cast<ReadChunk*>(read.context);
        done.op->shard->chunk_done(done);
    };
    ++op.reads_pending;
    reader_.read(chunk.read);
}

void Shard::chunk_done(ReadChunk& chunk) {
    PageOp& op = *chunk.op;
    bands_.end_read(array_.layout.band_of(chunk.read.first));
    deliver_run(op, chunk.first_block, chunk.read);
    idle_chunks_.push_back(chunk);
    end_read(op);
}

void Shard::deliver_run(PageOp& op, std::uint32_t first_block, const BlockRead& run) {
    for (std::uint32_t i = 0; i < run.blocks; ++i) {
        if ((run.bad >> i & 1) != 0)
            note_failure(op, Errc::media_error, run.lbas[i]);
        else
            deliver(op, first_block + i, run.data + std::size_t{i} * kBlockBytes);
    }
}

// Copies what the request wants of a block; null: zeroes.
void Shard::deliver(PageOp& op, std::uint32_t block, const std::byte* from) {
    const std::uint64_t skip = block == 0 ? op.head_skip : 0;
    const std::uint64_t at =
        std::uint64_t{block} * kBlockBytes + skip - op.head_skip;  // in the range
    const std::uint64_t bytes = std::min<std::uint64_t>(kBlockBytes - skip, op.bytes - at);
    if (from == nullptr)
        std::memset(op.data + at, 0, bytes);
    else
        std::memcpy(op.data + at, from + skip, bytes);
}

void Shard::end_read(PageOp& op) {
    if (--op.reads_pending != 0) return;
    if (!op.failed) counters_.add(Counter::user_read_bytes, op.bytes);
    finish(op);
}

}  // namespace qlcshape
