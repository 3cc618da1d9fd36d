// SPDX-License-Identifier: Apache-2.0
// A page of the band table on SCM: 64 bytes of header, then records, each of 48 bytes and 4 for
// each column of the band, padded to a multiple of 8. Each page has two places, A and B, written in
// turn, and a copy of both on every SCM drive: the newest complete one counts.
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

// Where a column of a band lies.
struct Column {
    static constexpr std::uint8_t kNobody = 255;
    std::uint8_t member = kNobody;  // kNobody: it was not written, or is lost
    std::uint32_t slot = 0;         // of the member, 24 bits

    bool there() const { return member != kNobody; }
    std::uint32_t packed() const { return slot << 8 | member; }
    static Column unpack(std::uint32_t packed) {
        return {static_cast<std::uint8_t>(packed & 255), packed >> 8};
    }
    bool operator==(const Column&) const = default;
};

// Fields with a default value that nothing uses yet have no other: a record that counts is refused
// with another one.
struct BandRecord {
    std::uint64_t sequence = 0;      // unique for each opening of any band
    std::uint64_t epoch = 0;         // of the open that opened it
    std::uint64_t mean_written = 0;  // mean of the user's clock over its blocks
    std::uint32_t segments = 0;    // written and durable: exact when closed, or after a clean close
    std::uint32_t valid = 0;       // data blocks still mapped, as of a clean close
    std::uint32_t tombstones = 0;  // tombstone blocks in it, as of a clean close
    std::uint32_t index_segments = 0;  // of `segments`, the last ones: they hold an index
    BandState state = BandState::free;
    std::uint8_t stream = 0;
    std::uint8_t flags = 0;         // kValidIsEstimate
    std::uint8_t data_columns = 0;  // k, when it was opened
    std::uint8_t rotation = 0;      // columns then: roles rotate by this, whatever is there now
    std::uint8_t reserved[3] = {};

    static constexpr std::uint8_t kValidIsEstimate = 1;  // valid may be some blocks off

    // Whether the table may point into it.
    bool counts() const { return state == BandState::open || state == BandState::closed; }
    // Whether its columns are a part of their drives that nobody else may use.
    bool has_columns() const { return state != BandState::free; }
    bool valid_is_estimate() const { return (flags & kValidIsEstimate) != 0; }
};
static_assert(sizeof(BandRecord) == kBandRecordBytes);
static_assert(offsetof(BandRecord, segments) == 24);
static_assert(offsetof(BandRecord, state) == 40);

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
static_assert(sizeof(BandPageHeader) == kBandPageHeaderBytes);

// A view over a page in memory.
class BandPage {
  public:
    BandPage(const ArrayLayout& layout, std::byte* block) : layout_(&layout), block_(block) {}
    BandPageHeader& header() { return *reinterpret_cast<BandPageHeader*>(block_); }
    BandRecord& record(std::uint32_t i) { return *reinterpret_cast<BandRecord*>(at(i)); }
    Column column(std::uint32_t i, std::uint32_t column);
    void set_column(std::uint32_t i, std::uint32_t column, Column to);
    void seal(const Uuid& array, std::uint64_t page, std::uint64_t generation);
    bool valid(const Uuid& array, std::uint64_t page);
    // Of a valid one: whether its records are possible in an array of this layout.
    bool fits();

  private:
    std::byte* at(std::uint32_t i) const {
        return block_ + kBandPageHeaderBytes + i * layout_->band_record_bytes();
    }
    bool record_fits(std::uint32_t i);
    std::uint32_t computed_crc();
    const ArrayLayout* layout_;
    std::byte* block_;
};

}  // namespace qlcshape
