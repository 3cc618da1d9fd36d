// SPDX-License-Identifier: Apache-2.0
// Enters what is durable into the shard's pages of the mapping table: the blocks of segments, and
// trims. The only part that changes an entry for a write or a trim of the user's; exchanges for GC
// are in table_service.h. On the shard's thread: nobody else touches its pages, so there is no
// lock.
//
// The cache serves waiters of a page in the order in which they asked: so of two slots with one LBA
// the later one is entered last, and a trim that asked before finds the page before them. One
// publisher for all streams of a shard; each segment has its own progress.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fifo.h"
#include "shard/shard_context.h"

namespace qlcshape {

class Publisher {
  public:
    explicit Publisher(ShardContext& shard);

    // Begins with further slots of a durable segment; true if there were any. The caller offers one
    // segment at a time, in the order of sequence, until it is entered().
    bool enter(RamSegment& segment);
    // All of it is in the table, and so are its trims.
    static bool entered(const RamSegment& s) {
        return s.entered == s.fill() && s.entering == 0 && s.trims_unapplied == 0;
    }

    // The tombstone is durable: now the table forgets what it covers, and then the trim ends.
    void apply_trim(PageOp& op);

    // No trim waits for its page. (A segment that does is not published.)
    bool trims_applied() const { return trims_applying_ == 0; }

  private:
    static constexpr std::uint32_t kItems = 256;  // pages asked for at once
    struct Item : PageWaiter {
        RamSegment* segment = nullptr;
        std::uint32_t slot = 0;
    };

    void enter_slot(const RamSegment& segment, std::uint32_t slot, CachedPage* cached);
    void trim_page(PageOp& op, CachedPage* cached);

    ShardContext& shard_;
    std::vector<Item> items_;
    Fifo<PageWaiter> idle_;
    std::uint32_t trims_applying_ = 0;
};

}  // namespace qlcshape
