// SPDX-License-Identifier: Apache-2.0
// A page of the PMT: 512 entries of 64 bits, in eight sectors of 64. Bit 63 of each entry belongs
// to its sector: the 64 bits together are a trailer, a checksum and the page's generation.
//
// Each sector can be verified on its own, so a page torn between two versions is as good as the
// older one: on a drive that never tears 512 bytes no second copy of the page is needed.
//
// An entry, mapped:   bit 62 set; bits 0..pba_bits-1 PBA; above it the low bits of the block's
// CRC-32C. An entry, unmapped: bit 62 clear; bits 60..61 why; bits 0..47 the version of that trim
// or loss.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "base/uuid.h"
#include "format/layout.h"

namespace qlcshape {

enum class Unmapped : std::uint8_t { never_written = 0, trimmed = 1, poisoned = 2 };

struct PmtEntry {
    std::uint64_t bits = 0;

    static constexpr std::uint64_t kMapped = std::uint64_t{1} << 62;
    static constexpr std::uint64_t kTrailer = std::uint64_t{1} << 63;

    bool operator==(const PmtEntry&) const = default;
    bool mapped() const { return (bits & kMapped) != 0; }
    Pba pba(const ArrayLayout& l) const {
        return Pba(bits & ((std::uint64_t{1} << l.pba_bits) - 1));
    }
    bool crc_matches(const ArrayLayout& l, std::uint32_t crc) const {
        return ((bits >> l.pba_bits ^ crc) & ((std::uint64_t{1} << l.crc_bits) - 1)) == 0;
    }
    Unmapped reason() const { return static_cast<Unmapped>(bits >> 60 & 3); }
    Version version() const { return Version(bits & ((std::uint64_t{1} << kVersionBits) - 1)); }

    static PmtEntry make_mapped(const ArrayLayout& l, Pba pba, std::uint32_t crc) {
        const std::uint64_t part = crc & ((std::uint64_t{1} << l.crc_bits) - 1);
        return {kMapped | pba.value | part << l.pba_bits};
    }
    static PmtEntry make_unmapped(Unmapped why, Version version) {
        return {static_cast<std::uint64_t>(why) << 60 | version.value};
    }
};
static_assert(sizeof(PmtEntry) == 8);

inline constexpr std::uint32_t kPmtSectorEntries = kSectorBytes / sizeof(PmtEntry);

// Writes 512 entries (bit 63 clear) as a page on media. `generation` rises each time it is written.
void encode_pmt_page(const PmtEntry* entries, PageId page, const Uuid& array,
                     std::uint32_t generation, std::byte* block);

// Reads a page; false if a sector is damaged or of another page. Entries come without bit 63.
// `generation`: the oldest sector's.
bool decode_pmt_page(const std::byte* block, PageId page, const Uuid& array, PmtEntry* entries,
                     std::uint32_t* generation = nullptr);

// Whether each entry of a page is possible in an array of this layout: a mapped one points to a
// slot.
bool pmt_entries_fit(const PmtEntry* entries, const ArrayLayout& layout);

}  // namespace qlcshape
