#include "format/pmt_page.h"

#include <cstring>

#include "base/crc32c.h"

namespace qlcshape {

namespace {

constexpr std::uint32_t kPmtMagic = 0x31544d50;  // "PMT1"

std::uint32_t page_crc(const PmtEntry* entries, PmtTrailer trailer) {
    trailer.crc = 0;
    const std::uint32_t crc = crc32c({reinterpret_cast<const std::byte*>(entries), kBlockBytes});
    return crc32c_continue(crc, {reinterpret_cast<const std::byte*>(&trailer), sizeof(trailer)});
}

}  // namespace

void encode_pmt_page(const PmtEntry* entries, PageId page, const Uuid& array, std::uint64_t epoch,
                     std::byte* block) {
    PmtTrailer trailer{};
    trailer.magic = kPmtMagic;
    trailer.page = page.value;
    trailer.epoch = epoch;
    trailer.array = array;
    trailer.crc = page_crc(entries, trailer);
    std::uint64_t bits[8];
    std::memcpy(bits, &trailer, sizeof(trailer));
    auto* words = reinterpret_cast<std::uint64_t*>(block);
    for (std::uint32_t i = 0; i < kPageEntries; ++i) {
        words[i] = entries[i].bits | (bits[i / 64] >> (i % 64) & 1) << 63;
    }
}

bool decode_pmt_page(const std::byte* block, PageId page, const Uuid& array, PmtEntry* entries) {
    std::uint64_t bits[8] = {};
    const auto* words = reinterpret_cast<const std::uint64_t*>(block);
    for (std::uint32_t i = 0; i < kPageEntries; ++i) {
        bits[i / 64] |= (words[i] >> 63) << (i % 64);
        entries[i].bits = words[i] & ~PmtEntry::kTrailer;
    }
    PmtTrailer trailer;
    std::memcpy(&trailer, bits, sizeof(trailer));
    return trailer.magic == kPmtMagic && trailer.page == page.value && trailer.array == array &&
           trailer.crc == page_crc(entries, trailer);
}

bool pmt_entries_fit(const PmtEntry* entries, const ArrayLayout& l) {
    const std::uint64_t pbas = std::uint64_t{l.bands} * l.segments_per_band * l.blocks_per_segment;
    const std::uint64_t used =
        PmtEntry::kMapped | ((std::uint64_t{1} << (l.pba_bits + l.crc_bits)) - 1);
    for (std::uint32_t i = 0; i < kPageEntries; ++i) {
        const PmtEntry e = entries[i];
        if (e.mapped()) {
            const std::uint64_t pba = e.pba(l).value;
            if ((e.bits & ~used) != 0 || pba >= pbas ||
                pba % l.blocks_per_segment < l.header_blocks)
                return false;
        } else if (e.why() > Unmapped::poisoned ||
                   e != PmtEntry::make_unmapped(e.why(), e.version())) {
            return false;
        }
    }
    return true;
}

}  // namespace qlcshape
