// SPDX-License-Identifier: Apache-2.0
// Reads and writes the bitmap of the table (pmt/table_bitmap.h): each page of bits in two places,
// A and B, on every scm drive. Both places get each change, one after the other:
//
//   flush         the pages of the table whose bits were taken are durable
//   write, flush  generation g + 1, to the place that generation g does not have
//   write, flush  generation g + 2 with the same bits, to the other place
//   snapshot      promises those pages
//
// A write that is torn leaves the other place. And wherever a snapshot counts, each whole copy has
// at least the bits that it needs: where one is damaged, no other is too old. A page of bits is
// lost if it is whole nowhere, or if a drive lacks bits of its own pages of the table that the
// others have in both places: it lost writes or went back in time. Then nobody knows which pages of
// the table count, and recovery builds the table from headers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "placement/array_context.h"
#include "pmt/table_bitmap.h"

namespace qlcshape {

struct LoadedBitmap {
    std::vector<std::uint64_t> generations;  // by page of bits: of the newest whole copy, or 0
    std::vector<std::uint64_t> lost;         // pages of bits; none of their bits is set
};

// The newest whole copy of each page of bits. One that not every place has is `changed`, so it is
// written again. Blocks.
LoadedBitmap load_bitmap(const ArrayContext& array, TableBitmap& bitmap, IoQueue& queue);

// What is to be written, some pages of bits at a time. The caller submits it, and flushes.
class BitmapWriter {
  public:
    BitmapWriter(const ArrayContext& array, TableBitmap& bitmap,
                 std::vector<std::uint64_t> generations);

    // From the first page of bits on.
    void begin() { cursor_ = used_ = 0; }
    // Takes the next changed ones, with the bits that are set now; false if there are none any
    // more. Then flush the drives, and write() twice, with a flush after each.
    bool take();
    bool taken() const { return used_ != 0; }
    // Transfers without `done`, for the place that is due.
    std::span<Io> write(PersistencePoint point);
    // They are durable. True if the other place is due.
    bool wrote();
    // Something failed: those taken are written another time.
    void give_up();
    std::uint64_t written_bytes() const { return used_ * kBlockBytes; }  // by one write, a mirror
    std::uint64_t memory_bytes() const {
        return blocks_.size() + generations_.size() * sizeof(generations_[0]);
    }

  private:
    static constexpr std::size_t kAtOnce = 64;
    const ArrayContext& array_;
    TableBitmap& bitmap_;
    std::vector<std::uint64_t> generations_;
    Buffer blocks_;
    std::array<std::uint64_t, kAtOnce> pages_{};
    std::vector<Io> ios_;
    std::size_t used_ = 0;  // of pages_
    std::uint64_t cursor_ = 0;
    bool second_ = false;
};

// All of it at once: while opening and closing. Blocks.
Status write_bitmap(const ArrayContext& array, BitmapWriter& writer, IoQueue& queue);

}  // namespace qlcshape
