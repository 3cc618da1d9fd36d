// A page of the PMT: 512 entries of 64 bits. Bit 63 of each belongs to the page, not to the entry:
// the 512 bits together are a 64-byte trailer that tells a damaged or misdirected page, and the
// epoch that wrote it.
//
// An entry, mapped:   bit 62 set; bits 0..pba_bits-1 PBA; above it the low bits of the block's
// CRC-32C An entry, unmapped: bit 62 clear; bits 60..61 why; bits 0..47 the version of that trim or
// loss
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
    Unmapped why() const { return static_cast<Unmapped>(bits >> 60 & 3); }
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

struct PmtTrailer {
    std::uint32_t magic;
    std::uint32_t
        crc;  // of the entries with bit 63 clear, then of this trailer with this field zero
    std::uint64_t page;
    std::uint64_t epoch;
    Uuid array;
    std::uint8_t reserved[24];
};
static_assert(sizeof(PmtTrailer) == 64);

// Writes 512 entries (bit 63 clear) as a page on media.
void encode_pmt_page(const PmtEntry* entries, PageId page, const Uuid& array, std::uint64_t epoch,
                     std::byte* block);

// Reads a page; false where it is damaged or another page. Entries come without bit 63.
bool decode_pmt_page(const std::byte* block, PageId page, const Uuid& array, PmtEntry* entries);

// Whether each entry of a page is one that an array of this layout can have: a mapped one leads to
// a slot.
bool pmt_entries_fit(const PmtEntry* entries, const ArrayLayout& layout);

}  // namespace qlcshape
