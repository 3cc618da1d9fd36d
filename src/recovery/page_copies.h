// SPDX-License-Identifier: Apache-2.0
// Reads pages of the PMT with all of their copies, each on another drive. Every call blocks.
//
// After a crash the copies of a page may differ: one was written back, and the other was not. Both
// count, since what they differ in is in segments that recovery reads anyway. But then what it
// finds is weighed against one of them, so that one has to come to all drives.
#pragma once

#include <span>
#include <vector>

#include "base/buffer.h"
#include "placement/array_context.h"

namespace qlcshape {

class PageCopies {
  public:
    // `at_once`: the most pages for one read().
    PageCopies(const ArrayContext& array, IoQueue& queue, std::size_t at_once);

    struct Seen {
        bool good = false;   // the entries are there
        bool alike = false;  // all drives that are in have that page, the same
        std::uint32_t generation = 0;
        Io damaged;  // a copy that can't be read or is no such page; without a device: none is
    };
    // Pages, at most `at_once`; then each of them by its index in `pages`.
    void read(std::span<const PageId> pages);
    Seen see(std::size_t index, PmtEntry* entries);

    // Writes a page that see() found good over the copies that are not like it. Not flushed.
    Status mend(std::size_t index);

  private:
    std::byte* block(std::size_t index, std::uint32_t copy) const {
        return blocks_.data() + (index * copies_ + copy) * kBlockBytes;
    }
    const ArrayContext& array_;
    IoQueue& queue_;
    const std::uint32_t copies_;
    Buffer blocks_;
    std::vector<PmtEntry> other_;
    std::vector<PageId> pages_;
    std::vector<Io> ios_;  // by page, then by copy; without a device where no drive has it
    std::vector<std::uint32_t> taken_;  // by page: the copy that see() took
};

}  // namespace qlcshape
