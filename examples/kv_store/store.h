// SPDX-License-Identifier: Apache-2.0
// The key-value store: a hash index and extents in one volume, changed in place. There is no log
// and no compaction, because the volume has what those are for: a write of up to 64 KiB is all
// there after a crash or not at all, and is durable when it is acknowledged.
//
// Tasks of one bucket are done in the order they were submitted; those that came while its batch
// was under way form the next one (batch.h). Buckets go on side by side. All calls are made from
// one thread, which also calls run() while must_run(), and whenever event_fd() is readable.
#pragma once

#include <qlcshape/volume.h>

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "kv_store/batch.h"
#include "kv_store/space.h"
#include "kv_store/task.h"
#include "kv_store/volume_io.h"

namespace kv_store {

class Store {
  public:
    // Formats a volume that reads as zeroes; refuses one that holds something else. Reads the whole
    // index, to count keys and to find the free blocks. Blocks.
    static qlcshape::Result<std::unique_ptr<Store>> open(qlcshape::Volume volume);

    // Keys and values within the limits of layout.h. `task.done` is called from run().
    void submit(Task task);
    void run();
    // Tasks were submitted since run(): nothing but run() starts them.
    bool must_run() const { return !ready_.empty(); }
    int event_fd() const { return io_.event_fd(); }
    bool idle() const { return ready_.empty() && running_ == 0 && io_.idle(); }

    std::uint64_t keys() const { return keys_; }
    std::uint64_t buckets() const { return buckets_; }
    std::uint64_t free_bytes() const { return space_.free_blocks() * kBlockBytes; }

  private:
    struct Slot : BucketState {
        std::unique_ptr<Batch> batch;
        std::size_t counted_bytes = 0;  // in cached_bytes_
    };

    Store(qlcshape::Volume volume, const Header& header);
    qlcshape::Status scan();
    qlcshape::Status scan_bucket(std::span<const std::byte> block, std::uint64_t number);
    qlcshape::Status bad_extent(Extent extent, std::uint64_t number) const;

    Slot& slot(std::uint64_t number);
    void begin(Slot& slot);
    void end(Slot& slot);
    void free_later(Extent extent);
    void shrink_cache();

    VolumeIo io_;
    std::uint64_t buckets_;
    Space space_;
    std::uint64_t keys_ = 0;

    std::list<Slot> slots_;  // buckets in DRAM, the most recently used first
    std::unordered_map<std::uint64_t, std::list<Slot>::iterator> by_number_;
    std::size_t cached_bytes_ = 0;

    std::vector<Slot*> ready_;  // have tasks, and no batch under way
    std::vector<Slot*> over_;   // their batch is over
    std::size_t running_ = 0;
};

}  // namespace kv_store
