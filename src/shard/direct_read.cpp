// A read in the thread that wants it. The shard is looked into for a moment, behind its door; the
// transfers and the proofs need nothing of it, for bands with readers aren't erased.
#include <span>
#include <thread>

#include "base/canary.h"
#include "shard/shard.h"

namespace qlcshape {

bool Shard::read_here(PageOp& op, IoQueue& queue, DirectRead& direct) {
    direct.used = 0;
    const bool found = look(op, direct);
    const bool good = found && transfer(direct, queue);
    const std::span runs(direct.runs.data(), direct.used);
    for (const DirectRead::Run& run : runs) bands_.end_read(array_.layout.band_of(run.first));
    if (!good) return false;
    for (const DirectRead::Run& run : runs) {
        if (reader_.unproved(run) != 0 && !canary(Canary::believe_direct_read)) return false;
    }
    for (const DirectRead::Run& run : runs) deliver_run(op, run.first_block, run);
    return true;
}

// The shard's thread may be about to leave; if it is busy it had better be asked.
std::unique_lock<std::mutex> Shard::knock() {
    constexpr int kTries = 32;
    std::unique_lock door(door_, std::defer_lock);
    for (int i = 0; i < kTries && !door.try_lock(); ++i) __builtin_ia32_pause();
    return door;
}

// Delivers what is in RAM, and finds what drives have. Bands that are found have a reader more.
bool Shard::look(PageOp& op, DirectRead& direct) {
    if (op.blocks > DirectRead::kMostBlocks) return false;
    const auto door = knock();
    if (!door) return false;
    const CachedPage* cached = cache_.resident(page_of(op.first));
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

bool Shard::transfer(DirectRead& direct, IoQueue& queue) {
    std::array<Io, DirectRead::kMostRuns> ios;
    for (std::uint32_t i = 0; i < direct.used; ++i) {
        ios[i] = reader_.transfer_of(direct.runs[i]);
        if (ios[i].device == nullptr) return false;
    }
    return run(queue, {ios.data(), direct.used}).has_value();
}

}  // namespace qlcshape
