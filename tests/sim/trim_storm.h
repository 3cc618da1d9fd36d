// A load that fills the ring of one shard: pages are written, then trimmed block by block. Each
// trim is a record, and hardly any segment is filled, so that the ring goes round before a commit
// brings back space. Then come a few small writes: the first record on space that just came back
// has blocks, and a cut may tear its header and not those.
#pragma once

#include "base/random.h"
#include "format/layout.h"

namespace qlcshape::sim {

class TrimStorm {
  public:
    struct Step {
        bool write = false;
        std::uint64_t first_block = 0;
        std::uint64_t blocks = 0;
    };

    static constexpr std::size_t kAtOnce = 4;  // operations, so that each trim is a record

    // `first_page`, and others of the same shard; their number suffices to fill the ring.
    void begin(std::uint64_t first_page, std::uint32_t shards, const ArrayLayout& layout) {
        *this = TrimStorm{};
        first_page_ = first_page;
        shards_ = shards;
        pages_ = pages(shards, layout);
        // Some room is kept for the record that a sealed segment waits for.
        ring_blocks_ = layout.tps_ring_bytes(shards) / kBlockBytes - 4 * layout.slots_per_segment;
    }
    static std::uint64_t pages(std::uint32_t shards, const ArrayLayout& layout) {
        return layout.tps_ring_bytes(shards) / kPageSpanBytes + 1;
    }
    static std::uint64_t span(std::uint32_t shards, const ArrayLayout& layout) {
        return (pages(shards, layout) - 1) * shards + 1;
    }
    bool over() const { return next_ == pages_ + pages_ * kPageEntries || writes_ == kWrites; }
    // The ring is nearly full; true once in a storm.
    bool full_soon() const { return writes_ == 1; }

    // `records`: so many were written so far.
    Step next(std::uint64_t records, Random& random) {
        if (next_ < pages_) return {true, block(next_++, 0), kPageEntries};
        if (next_ == pages_) before_ = records;
        if (writes_ != 0 || records - before_ + kWrites >= ring_blocks_) {
            ++writes_;
            return {true, block(random.below(pages_), random.below(kPageEntries - 4)), 4};
        }
        const std::uint64_t trim = next_++ - pages_;
        return {false, block(trim / kPageEntries, trim % kPageEntries), 1};
    }

  private:
    static constexpr std::uint64_t kWrites = 24;

    std::uint64_t block(std::uint64_t page, std::uint64_t in_page) const {
        return (first_page_ + page * shards_) * kPageEntries + in_page;
    }
    std::uint64_t first_page_ = 0, pages_ = 0, ring_blocks_ = 0;
    std::uint64_t next_ = 0, writes_ = 0, before_ = 0;
    std::uint32_t shards_ = 1;
};

}  // namespace qlcshape::sim
