// SPDX-License-Identifier: Apache-2.0
// A page of the bitmap of the PMT on SCM: 64 bytes of header, then a bit for each of 32256 pages of
// the table, set where that page was ever written. Each page of bits has two places, A and B, and a
// copy of both on every scm drive: the newest whole one counts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/uuid.h"
#include "format/layout.h"

namespace qlcshape {

inline constexpr std::uint64_t kBitmapPageWords = kBitmapPageBits / 64;

struct BitmapPageHeader {
    std::uint64_t magic;
    std::uint32_t crc;  // of the page with this field zero
    std::uint16_t format;
    std::uint16_t reserved_1;
    Uuid array;
    std::uint64_t page;
    std::uint64_t generation;  // rises each time this page is written
    std::uint8_t reserved_2[16];
};
static_assert(sizeof(BitmapPageHeader) == kBitmapHeaderBytes);
static_assert(kBitmapHeaderBytes + kBitmapPageWords * 8 == kBlockBytes);

// A view over a page in memory.
class BitmapPage {
  public:
    explicit BitmapPage(std::byte* block) : block_(block) {}
    BitmapPageHeader& header() { return *reinterpret_cast<BitmapPageHeader*>(block_); }
    // Bit p % 64 of word p / 64: the table's page kBitmapPageBits x page + p.
    std::uint64_t* words() {
        return reinterpret_cast<std::uint64_t*>(block_ + sizeof(BitmapPageHeader));
    }
    void seal(const Uuid& array, std::uint64_t page, std::uint64_t generation);
    bool valid(const Uuid& array, std::uint64_t page);

  private:
    std::uint32_t computed_crc();
    std::byte* block_;
};

}  // namespace qlcshape
