// SPDX-License-Identifier: Apache-2.0
// docs/write_path.md: Read.
#include "shard/reads.h"

#include <cstring>

#include "base/assert.h"

namespace qlcshape {

Reads::Reads(ShardContext& shard, std::span<std::byte> memory)
    : shard_(shard),
      reader_(shard.array, shard.bands, shard.queue, shard.counters, BlockReader::Damage::marks),
      chunks_(kReadChunks) {
    QS_ASSERT(memory.size() == memory_needed());
    for (std::size_t i = 0; i < chunks_.size(); ++i) {
        Chunk& chunk = chunks_[i];
        chunk.owner = this;
        chunk.read.data = memory.data() + i * kChunkBytes;
        chunk.read.context = &chunk;
        chunk.read.done = [](BlockRead& read) {
            auto& done = *static_cast<Chunk*>(read.context);
            done.owner->chunk_done(done);
        };
        idle_chunks_.push_back(chunk);
    }
}

bool Reads::poll() {
    const bool any = reader_.poll();
    return pump() || any;
}

void Reads::look_for_data(PageOp& op) {
    op.owner = this;
    op.ready = [](PageWaiter& waiter, CachedPage* cached) {
        static_cast<Reads*>(waiter.owner)->tell_mapped(static_cast<PageOp&>(waiter), cached);
    };
    if (CachedPage* cached = shard_.cache.get(page_of(op.first), op)) tell_mapped(op, cached);
}

// A block that was lost counts as mapped: a reader must meet the error, not take it for zeroes.
void Reads::tell_mapped(PageOp& op, const CachedPage* cached) {
    if (cached == nullptr) return shard_.finish_failed(op, Errc::media_error, op.first);
    for (std::uint32_t i = 0; i < op.blocks; ++i) {
        const Lba lba(op.first.value + i);
        const PmtEntry entry = cached->entries[lba.value % kPageEntries];
        bool mapped = entry.mapped() || entry.reason() == Unmapped::poisoned;
        if (recovered_ != nullptr) {
            if (auto it = recovered_->find(lba.value); it != recovered_->end())
                mapped = it->second.kind != EntryKind::tombstones;
        }
        op.data[i] = std::byte{mapped || shard_.overlay.find(lba) != nullptr};
    }
    shard_.finish(op);
}

void Reads::start(PageOp& op) {
    op.progress = 0;
    op.reads_pending = 1;  // for the op itself, until all of it has begun
    if (waiting_.empty())
        fetch_page(op);
    else
        waiting_.push_back(op);
}

void Reads::fetch_page(PageOp& op) {
    op.owner = this;
    op.ready = [](PageWaiter& waiter, CachedPage* cached) {
        static_cast<Reads*>(waiter.owner)->read_page(static_cast<PageOp&>(waiter), cached);
    };
    if (const CachedPage* cached = shard_.cache.get(page_of(op.first), op)) read_page(op, cached);
}

// Reads that ran out of chunks begin again where they stopped, with a fresh look at the table.
bool Reads::pump() {
    bool any = false;
    while (!waiting_.empty() && !idle_chunks_.empty()) {
        fetch_page(waiting_.pop_front());
        any = true;
    }
    return any;
}

void Reads::read_page(PageOp& op, const CachedPage* cached) {
    while (op.progress < op.blocks) {
        if (!read_block(op, cached == nullptr ? nullptr : cached->entries)) {
            waiting_.push_back(op);
            return;
        }
    }
    end_read(op);
}

// Begins the next block, or a run of blocks; false where no chunk is free.
bool Reads::read_block(PageOp& op, const PmtEntry* entries) {
    if (read_without_drive(op, entries)) return true;
    if (idle_chunks_.empty()) return false;
    start_chunk(op, idle_chunks_.pop_front(), entries);
    return true;
}

// The next block, if it is in RAM, or is nowhere, or lost.
bool Reads::read_without_drive(PageOp& op, const PmtEntry* entries) {
    const Lba lba(op.first.value + op.progress);
    if (const RamPlace* ram = shard_.overlay.find(lba)) {
        deliver(op, op.progress++, shard_.ram[ram->segment].slot_data(ram->slot));
        return true;
    }
    if (recovered_ != nullptr) {
        if (auto it = recovered_->find(lba.value); it != recovered_->end()) {
            const auto& [kind, data] = it->second;
            if (kind == EntryKind::poisoned)
                op.note_failure(Errc::media_error, lba);
            else
                deliver(op, op.progress, kind == EntryKind::data ? data.data() : nullptr);
            ++op.progress;
            return true;
        }
    }
    const PmtEntry entry = entries == nullptr ? PmtEntry{} : entries[lba.value % kPageEntries];
    if (entries == nullptr || (!entry.mapped() && entry.reason() == Unmapped::poisoned)) {
        op.note_failure(Errc::media_error, lba);
        ++op.progress;
        return true;
    }
    if (entry.mapped()) return false;
    deliver(op, op.progress++, nullptr);
    return true;
}

// Blocks that follow each other in the volume, on the drive, and are not newer in RAM. Their band
// has a reader more.
void Reads::take_run(PageOp& op, BlockRead& run, const PmtEntry* entries) {
    const ArrayLayout& l = shard_.array.layout;
    const std::uint64_t first = op.first.value + op.progress;
    const Pba pba = entries[first % kPageEntries].pba(l);
    const std::uint32_t most = reader_.run_length(pba, op.blocks - op.progress);
    std::uint32_t n = 0;
    while (n < most) {
        const Lba lba(first + n);
        const PmtEntry entry = entries[lba.value % kPageEntries];
        if (!entry.mapped() || entry.pba(l).value != pba.value + n ||
            shard_.overlay.find(lba) != nullptr)
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
    shard_.bands.begin_read(l.band_of(pba));
}

void Reads::start_chunk(PageOp& op, Chunk& chunk, const PmtEntry* entries) {
    chunk.op = &op;
    chunk.first_block = op.progress;
    take_run(op, chunk.read, entries);
    ++op.reads_pending;
    reader_.read(chunk.read);
}

void Reads::chunk_done(Chunk& chunk) {
    PageOp& op = *chunk.op;
    shard_.bands.end_read(shard_.array.layout.band_of(chunk.read.first));
    deliver_run(op, chunk.first_block, chunk.read);
    idle_chunks_.push_back(chunk);
    end_read(op);
}

void Reads::deliver_run(PageOp& op, std::uint32_t first_block, const BlockRead& run) {
    for (std::uint32_t i = 0; i < run.blocks; ++i) {
        if ((run.bad >> i & 1) != 0)
            op.note_failure(Errc::media_error, run.lbas[i]);
        else
            deliver(op, first_block + i, run.data + std::size_t{i} * kBlockBytes);
    }
}

// Copies what the request wants of a block; null: zeroes.
void Reads::deliver(PageOp& op, std::uint32_t block, const std::byte* from) {
    const std::uint64_t skip = block == 0 ? op.head_skip : 0;
    const std::uint64_t at =
        std::uint64_t{block} * kBlockBytes + skip - op.head_skip;  // in the range
    const std::uint64_t bytes = std::min<std::uint64_t>(kBlockBytes - skip, op.bytes - at);
    if (from == nullptr)
        std::memset(op.data + at, 0, bytes);
    else
        std::memcpy(op.data + at, from + skip, bytes);
}

void Reads::end_read(PageOp& op) {
    if (--op.reads_pending != 0) return;
    if (!op.failed) shard_.counters.add(Counter::user_read_bytes, op.bytes);
    shard_.finish(op);
}

}  // namespace qlcshape
