// SPDX-License-Identifier: Apache-2.0
// A read in the thread that wants it. The shard is looked into for a moment, under its lock; the
// transfers and the proofs need nothing of it, for bands with readers aren't erased.
//
//   under the lock      overlay: copied; the table's page: entries, and a reader more of each band
//   without it          transfers through the caller's queue, checksums, delivery
//
// The moment under the lock is when the read takes place: a write that comes later goes to other
// places. It never decides that something is damaged: what is not right is left to the shard, which
// rebuilds it and counts it.
#include <algorithm>
#include <bit>
#include <span>

#include "base/canary.h"
#include "shard/reads.h"

namespace qlcshape {

bool Reads::read_inline(PageOp& op, IoQueue& queue, DirectRead& direct, ShardLock& lock) {
    direct.used = direct.wrong_blocks = 0;
    direct.io_failed = false;
    const bool found = look(op, direct, lock);
    const bool good = found && transfer(direct, queue);
    const std::span runs(direct.runs.data(), direct.used);
    for (const DirectRead::Run& run : runs)
        shard_.bands.end_read(shard_.array.layout.band_of(run.first));
    if (!good) return false;
    for (const DirectRead::Run& run : runs) {
        if (canary(Canary::believe_direct_read)) break;
        direct.wrong_blocks += static_cast<std::uint32_t>(std::popcount(reader_.unproved(run)));
    }
    if (direct.wrong_blocks != 0) return false;
    for (const DirectRead::Run& run : runs) deliver_run(op, run.first_block, run);
    return true;
}

// Delivers what is in RAM, and finds what drives have. Bands that are found have a reader more.
bool Reads::look(PageOp& op, DirectRead& direct, ShardLock& lock) {
    if (op.blocks > DirectRead::kMostBlocks) return false;
    const auto inside = lock.for_looking();
    if (!inside) return false;
    const CachedPage* cached = shard_.cache.resident(page_of(op.first));
    if (cached == nullptr) return false;
    while (op.progress < op.blocks) {
        if (read_without_drive(op, cached->entries)) continue;
        if (direct.used == DirectRead::kMostRuns) return false;
        DirectRead::Run& run = direct.runs[direct.used++];
        run.first_block = op.progress;
        run.data = direct.memory.data() + std::size_t{op.progress} * kBlockBytes;
        take_run(op, run, cached->entries);
    }
    return !op.failed;
}

// Waits as long as a drive may take, not longer.
bool Reads::transfer(DirectRead& direct, IoQueue& queue) {
    constexpr std::uint64_t kLookAgainUs = 100'000;
    const std::span ios(direct.ios.data(), direct.used);
    for (std::uint32_t i = 0; i < direct.used; ++i) {
        ios[i] = reader_.transfer_of(direct.runs[i]);
        if (ios[i].device == nullptr) return false;
    }
    direct.under_way = direct.used;
    for (Io& io : ios) {
        io.context = &direct.under_way;
        io.done = [](Io& done) { --*static_cast<std::uint32_t*>(done.context); };
        queue.submit(io);
    }
    while (direct.under_way != 0) {
        queue.wait(kLookAgainUs);
        queue.poll();
    }
    direct.late = std::ranges::any_of(ios, &Io::kept);
    direct.io_failed = std::ranges::any_of(ios, [](const Io& io) { return io.error_number != 0; });
    return !direct.io_failed;
}

}  // namespace qlcshape
