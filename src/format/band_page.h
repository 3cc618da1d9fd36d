// SPDX-License-Identifier: Apache-2.0
// A page of the band table on SCM: 64 bytes of header, then 84 records of 48 bytes. Each page has
// two places, A and B, written in turn, and a copy of both on every scm drive: the newest complete
// one counts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"
#include "base/uuid.h"
#include "format/layout.h"

namespace qlcshape {

enum class BandState : std::uint8_t {
    free = 0,     // erased; may be opened
    open = 1,     // a stream appends to it
    closed = 2,   // `segments` of it are written; the rest is void
    erasing = 3,  // nothing in it counts any more; it must be discarded before it is free
};

const char* to_string(BandState state);

struct BandRecord {
    std::uint64_t sequence = 0;     // unique for each opening of any band
    std::uint64_t epoch = 0;        // of the open that opened it
    std::uint64_t min_version = 0;  // lowest version in it; 0: unknown
    std::uint32_t segments = 0;    // written and durable: exact when closed, or after a clean close
    std::uint32_t valid = 0;       // data blocks still mapped, as of a clean close
    std::uint32_t tombstones = 0;  // tombstone blocks in it, as of a clean close
    BandState state = BandState::free;
    std::uint8_t stream = 0;
    std::uint8_t valid_is_estimate = 0;  // 1: valid may be some blocks off
    std::uint8_t reserved[9] = {};

    // Whether the table may point into it.
    bool counts() const { return state == BandState::open || state == BandState::closed; }
};
static_assert(sizeof(BandRecord) == kBandRecordBytes);

struct BandPageHeader {
    std::uint64_t magic;
    std::uint32_t crc;  // of the page with this field zero
    std::uint16_t format;
    std::uint16_t records;
    Uuid array;
    std::uint64_t page;
    std::uint64_t generation;  // rises each time this page is written
    std::uint8_t reserved[16];
};
static_assert(sizeof(BandPageHeader) == 64);
static_assert(sizeof(BandPageHeader) + kBandsPerPage * sizeof(BandRecord) <= kBlockBytes);

// A view over a page in memory.
class BandPage {
  public:
    explicit BandPage(std::byte* block) : block_(block) {}
    BandPageHeader& header() { return *reinterpret_cast<BandPageHeader*>(block_); }
    BandRecord* records() { return reinterpret_cast<BandRecord*>(block_ + sizeof(BandPageHeader)); }
    void seal(const Uuid& array, std::uint64_t page, std::uint64_t generation);
    bool valid(const Uuid& array, std::uint64_t page);
    // Of a valid one: whether its records are possible in an array of this layout.
    bool fits(const ArrayLayout& layout);

  private:
    std::uint32_t computed_crc();
    std::byte* block_;
};

}  // namespace qlcshape
