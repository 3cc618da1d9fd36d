// SPDX-License-Identifier: Apache-2.0
#include "format/pmt_page.h"

#include <cstring>

#include "base/crc32c.h"

namespace qlcshape {

namespace {

// Not on media, but part of each sector's checksum: a sector elsewhere than it belongs is damaged.
struct SectorIdentity {
    Uuid array;
    std::uint64_t page;
    std::uint32_t sector;
    std::uint32_t generation;
};
static_assert(sizeof(SectorIdentity) == 32);

std::uint32_t sector_crc(const PmtEntry* entries, const SectorIdentity& identity) {
    const std::uint32_t crc = crc32c({reinterpret_cast<const std::byte*>(entries), kSectorBytes});
    return crc32c_continue(crc, {reinterpret_cast<const std::byte*>(&identity), sizeof(identity)});
}

// Generations wrap; two of one page are never far from each other.
bool older(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

}  // namespace

void encode_pmt_page(const PmtEntry* entries, PageId page, const Uuid& array,
                     std::uint32_t generation, std::byte* block) {
    auto* words = reinterpret_cast<std::uint64_t*>(block);
    for (std::uint32_t sector = 0; sector < kPageEntries / kPmtSectorEntries; ++sector) {
        const PmtEntry* from = entries + sector * kPmtSectorEntries;
        const std::uint64_t trailer = sector_crc(from, {array, page.value, sector, generation}) |
                                      std::uint64_t{generation} << 32;
        for (std::uint32_t i = 0; i < kPmtSectorEntries; ++i) {
            *words++ = from[i].bits | (trailer >> i & 1) << 63;
        }
    }
}

bool decode_pmt_page(const std::byte* block, PageId page, const Uuid& array, PmtEntry* entries,
                     std::uint32_t* generation) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(block);
    bool whole = true;
    std::uint32_t oldest = 0;
    for (std::uint32_t sector = 0; sector < kPageEntries / kPmtSectorEntries; ++sector) {
        PmtEntry* to = entries + sector * kPmtSectorEntries;
        std::uint64_t trailer = 0;
        for (std::uint32_t i = 0; i < kPmtSectorEntries; ++i, ++words) {
            trailer |= (*words >> 63) << i;
            to[i].bits = *words & ~PmtEntry::kTrailer;
        }
        const auto written = static_cast<std::uint32_t>(trailer >> 32);
        whole &= static_cast<std::uint32_t>(trailer) ==
                 sector_crc(to, {array, page.value, sector, written});
        if (sector == 0 || older(written, oldest)) oldest = written;
    }
    if (generation != nullptr) *generation = oldest;
    return whole;
}

bool pmt_entries_fit(const PmtEntry* entries, const ArrayLayout& l) {
    const std::uint64_t used =
        PmtEntry::kMapped | ((std::uint64_t{1} << (l.pba_bits + l.crc_bits)) - 1);
    for (std::uint32_t i = 0; i < kPageEntries; ++i) {
        const PmtEntry e = entries[i];
        if (e.mapped()) {
            if ((e.bits & ~used) != 0 || !l.is_slot(e.pba(l))) return false;
        } else if (e.reason() > Unmapped::poisoned ||
                   e != PmtEntry::make_unmapped(e.reason(), e.version())) {
            return false;
        }
    }
    return true;
}

}  // namespace qlcshape
