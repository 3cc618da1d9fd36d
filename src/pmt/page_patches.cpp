// SPDX-License-Identifier: Apache-2.0
#include "pmt/page_patches.h"

#include <algorithm>

namespace qlcshape {

PagePatches::PagePatches(std::vector<Patch> patches) : patches_(std::move(patches)) {
    for (std::uint64_t i = 0; i < patches_.size(); ++i) {
        const PageId id = page_of(patches_[i].lba);
        if (pages_.empty() || pages_.back().id != id) pages_.push_back({id, i, false});
    }
    left_ = pages_.size();
}

std::span<const Patch> PagePatches::take(PageId id) {
    if (left_ == 0) return {};
    const auto page = std::ranges::lower_bound(pages_, id, {}, &Page::id);
    if (page == pages_.end() || page->id != id || page->taken) return {};
    page->taken = true;
    --left_;
    return of(page);
}

std::span<const Patch> PagePatches::of(PageId id) const {
    const auto page = std::ranges::lower_bound(pages_, id, {}, &Page::id);
    if (page == pages_.end() || page->id != id) return {};
    return of(page);
}

std::span<const Patch> PagePatches::of(std::vector<Page>::const_iterator page) const {
    const auto next = page + 1;
    const std::uint64_t end = next == pages_.end() ? patches_.size() : next->first;
    return {patches_.data() + page->first, end - page->first};
}

std::optional<PageId> PagePatches::next() {
    while (cursor_ < pages_.size() && pages_[cursor_].taken) ++cursor_;
    return cursor_ < pages_.size() ? std::optional(pages_[cursor_++].id) : std::nullopt;
}

}  // namespace qlcshape
