// SPDX-License-Identifier: Apache-2.0
// Which pages of the table were ever written. All others have entries that were never written,
// whatever lies in their place: no drive is asked. One bit a page in DRAM, shared by all threads.
//
// A bit is set when the page's first write has ended, so the page may still be in a drive's cache.
// On media it is set when the page is durable, and before a snapshot promises it (meta/
// bitmap_store.h). It is never cleared.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "format/bitmap_page.h"

namespace qlcshape {

class TableBitmap {
  public:
    // None of them written.
    explicit TableBitmap(const ArrayLayout& layout)
        : words_(layout.bitmap_pages * kBitmapPageWords), changed_(layout.bitmap_pages) {}

    // --- any thread ---
    bool written(PageId page) const {
        return (words_[page.value / 64].load(std::memory_order_relaxed) >> page.value % 64 & 1) !=
               0;
    }
    // Its write has ended.
    void set_written(PageId page) {
        if (written(page)) return;
        words_[page.value / 64].fetch_or(std::uint64_t{1} << page.value % 64,
                                         std::memory_order_relaxed);
        set_changed(page.value / kBitmapPageBits);
    }
    std::uint64_t memory_bytes() const {
        return words_.size() * sizeof(words_[0]) + changed_.size() * sizeof(changed_[0]);
    }

    // --- pages of bits; one thread at a time ---
    std::uint64_t pages() const { return changed_.size(); }
    void set_changed(std::uint64_t page) { changed_[page].store(true, std::memory_order_release); }
    // Whether bits of it were set since. Before the bits are copied: those set later count again.
    bool take_changed(std::uint64_t page) {
        return changed_[page].load(std::memory_order_relaxed) &&
               changed_[page].exchange(false, std::memory_order_acquire);
    }
    void copy_to(std::uint64_t page, std::uint64_t* words) const {
        for (std::uint64_t i = 0; i < kBitmapPageWords; ++i)
            words[i] = words_[page * kBitmapPageWords + i].load(std::memory_order_relaxed);
    }
    // While opening.
    void copy_from(std::uint64_t page, const std::uint64_t* words) {
        for (std::uint64_t i = 0; i < kBitmapPageWords; ++i)
            words_[page * kBitmapPageWords + i].store(words[i], std::memory_order_relaxed);
    }

  private:
    static_assert(kBitmapPageBits % 64 == 0);
    std::vector<std::atomic<std::uint64_t>> words_;
    std::vector<std::atomic<bool>> changed_;  // by page of bits: media lacks some
};

}  // namespace qlcshape
