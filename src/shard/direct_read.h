// SPDX-License-Identifier: Apache-2.0
// What a thread that reads a few blocks itself (Shard::read_inline()) needs, and how it gets at the
// shard. Kept from read to read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/buffer.h"
#include "base/pause.h"
#include "segment/block_reader.h"

namespace qlcshape {

// Held by whoever polls a shard, and by threads that look into it in between. The former goes
// first: a thread that polls acknowledges writes for everyone, one that looks reads for itself, and
// has another way (Shard::submit()). Neither ever sleeps for the lock.
class ShardLock {
  public:
    // Who polls. Without the lock: somebody is looking, and soon done.
    std::unique_lock<std::mutex> for_polling() {
        std::unique_lock lock(mutex_, std::try_to_lock);
        wanted_.store(!lock.owns_lock(), std::memory_order_relaxed);
        return lock;
    }
    // Who wants to look. Without the lock: the shard had better be asked.
    std::unique_lock<std::mutex> for_looking() {
        constexpr int kTries = 32;  // who polls may be about to leave
        std::unique_lock lock(mutex_, std::defer_lock);
        for (int i = 0; i < kTries && !wanted_.load(std::memory_order_relaxed); ++i) {
            if (lock.try_lock()) break;
            spin_pause();
        }
        return lock;
    }

  private:
    std::mutex mutex_;
    std::atomic<bool> wanted_{false};  // who polls found it taken
};

struct DirectRead {
    static constexpr std::uint32_t kMostBlocks = 32;
    static constexpr std::uint32_t kMostRuns = 4;

    struct Run : BlockRead {
        std::uint32_t first_block = 0;  // of the op
    };

    Buffer memory{std::size_t{kMostBlocks} * kBlockBytes};
    std::array<Run, kMostRuns> runs;
    std::array<Io, kMostRuns> ios;  // one of each run
    std::uint32_t used = 0;
    std::uint32_t under_way = 0;  // of the ios
    bool late = false;            // a drive may still write to the memory: this is not used again

    // Of the last read.
    std::uint32_t wrong_blocks = 0;  // whose checksum failed
    bool io_failed = false;
};

}  // namespace qlcshape
