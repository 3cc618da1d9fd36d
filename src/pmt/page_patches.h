// SPDX-License-Identifier: Apache-2.0
// What recovery found to be newer than the table on SCM, to be entered when its page is first read:
// so opening waits for no page, and a request only for its own. Belongs to one shard.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "format/pmt_page.h"

namespace qlcshape {

struct Patch {
    Lba lba;
    PmtEntry entry;
};
static_assert(sizeof(Patch) == 16);

class PagePatches {
  public:
    PagePatches() = default;
    // In the order of LBAs, at most one of each.
    explicit PagePatches(std::vector<Patch> patches);

    // The patches of the page, the first time it is requested; otherwise none.
    std::span<const Patch> take(PageId page);
    // The same, each time; for a cache that writes nothing back.
    std::span<const Patch> of(PageId page) const;
    // Pages whose patches were not taken yet; and each of them once, to be read.
    std::uint64_t pages_left() const { return left_; }
    std::optional<PageId> next();
    std::uint64_t memory_bytes() const {
        return patches_.size() * sizeof(Patch) + pages_.size() * sizeof(Page);
    }

  private:
    struct Page {
        PageId id;
        std::uint64_t first = 0;  // in patches_
        bool taken = false;
    };
    std::span<const Patch> of(std::vector<Page>::const_iterator page) const;

    std::vector<Patch> patches_;
    std::vector<Page> pages_;  // by id
    std::uint64_t left_ = 0;
    std::size_t cursor_ = 0;  // next() gave those before
};

}  // namespace qlcshape
