// SPDX-License-Identifier: Apache-2.0
#include "kv_store/space.h"

#include <algorithm>

namespace kv_store {

Space::Space(std::uint64_t first_block, std::uint64_t end_block)
    : first_(first_block),
      end_(end_block),
      next_(first_block),
      free_(end_block - first_block),
      words_(end_block / 64 + 1) {}

void Space::set(Extent extent, bool used) {
    for (std::uint64_t block = extent.first; block < extent.first + extent.blocks; ++block) {
        const std::uint64_t bit = std::uint64_t{1} << (block % 64);
        words_[block / 64] = used ? words_[block / 64] | bit : words_[block / 64] & ~bit;
    }
    free_ = used ? free_ - extent.blocks : free_ + extent.blocks;
}

std::optional<Extent> Space::find(std::uint64_t from, std::uint64_t to, std::uint64_t blocks,
                                  std::uint64_t alignment) const {
    std::uint64_t at = from;
    for (;;) {
        at = (at + alignment - 1) & ~(alignment - 1);
        if (at + blocks > to) return std::nullopt;
        if (words_[at / 64] == ~std::uint64_t{0}) {
            at = (at / 64 + 1) * 64;
            continue;
        }
        // The last used block of the run tells where the next run can begin.
        std::uint64_t last = at + blocks;
        while (last > at && !used(last - 1)) --last;
        if (last == at) return Extent{at, blocks};
        at = last;
    }
}

std::optional<Extent> Space::allocate(std::uint64_t blocks, std::uint64_t alignment) {
    if (blocks > free_) return std::nullopt;
    std::optional<Extent> found = find(next_, end_, blocks, alignment);
    // A run may begin before next_ and end behind it.
    if (!found) found = find(first_, std::min(end_, next_ + blocks), blocks, alignment);
    if (!found) return std::nullopt;
    set(*found, true);
    next_ = found->first + blocks;
    return found;
}

void Space::free(Extent extent) { set(extent, false); }

bool Space::take(Extent extent) {
    if (extent.first < first_ || extent.first > end_ || extent.blocks > end_ - extent.first) {
        return false;
    }
    for (std::uint64_t block = extent.first; block < extent.first + extent.blocks; ++block) {
        if (used(block)) return false;
    }
    set(extent, true);
    return true;
}

}  // namespace kv_store
