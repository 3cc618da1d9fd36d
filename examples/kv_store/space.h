// SPDX-License-Identifier: Apache-2.0
// Which blocks of the heap are free. It is in DRAM alone: opening the store scans the index, which
// names every block in use, so there is nothing to keep in step with it after a crash.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kv_store/layout.h"

namespace kv_store {

class Space {
  public:
    Space(std::uint64_t first_block, std::uint64_t end_block);

    // Next fit. `alignment` counts blocks and is a power of two.
    std::optional<Extent> allocate(std::uint64_t blocks, std::uint64_t alignment = 1);
    void free(Extent extent);
    // Takes these blocks; false if one of them is taken already or none of the heap's.
    bool take(Extent extent);

    std::uint64_t free_blocks() const { return free_; }

  private:
    bool used(std::uint64_t block) const { return (words_[block / 64] >> (block % 64) & 1) != 0; }
    void set(Extent extent, bool used);
    std::optional<Extent> find(std::uint64_t from, std::uint64_t to, std::uint64_t blocks,
                               std::uint64_t alignment) const;

    std::uint64_t first_, end_, next_, free_;
    std::vector<std::uint64_t> words_;  // a bit for each block of the volume, set if in use
};

}  // namespace kv_store
