// SPDX-License-Identifier: Apache-2.0
#include "format/band_page.h"

#include <cstddef>

#include "base/crc32c.h"
#include "format/format_version.h"

namespace qlcshape {

namespace {
constexpr std::uint64_t kBandPageMagic = 0x31444e4245504853;  // "SHPEBND1"
}

const char* to_string(BandState state) {
    switch (state) {
        case BandState::free:
            return "free";
        case BandState::open:
            return "open";
        case BandState::closed:
            return "closed";
        case BandState::erasing:
            return "erasing";
    }
    return "unknown";
}

std::uint32_t BandPage::computed_crc() {
    constexpr std::size_t kField = offsetof(BandPageHeader, crc);
    const std::byte zero[4] = {};
    std::uint32_t crc = crc32c({block_, kField});
    crc = crc32c_continue(crc, zero);
    return crc32c_continue(crc, {block_ + kField + 4, kBlockBytes - kField - 4});
}

void BandPage::seal(const Uuid& array, std::uint64_t page, std::uint64_t generation) {
    auto& h = header();
    h = BandPageHeader{};
    h.magic = kBandPageMagic;
    h.format = kFormatVersion;
    h.records = kBandsPerPage;
    h.array = array;
    h.page = page;
    h.generation = generation;
    h.crc = computed_crc();
}

bool BandPage::valid(const Uuid& array, std::uint64_t page) {
    const auto& h = header();
    if (h.magic != kBandPageMagic || h.format != kFormatVersion || h.records != kBandsPerPage ||
        h.array != array || h.page != page || h.crc != computed_crc()) {
        return false;
    }
    for (std::uint32_t i = 0; i < kBandsPerPage; ++i) {
        if (records()[i].state > BandState::erasing) return false;
    }
    return true;
}

bool BandPage::fits(const ArrayLayout& layout) {
    for (std::uint32_t i = 0; i < kBandsPerPage; ++i) {
        // Its counts are hints: any will do.
        const BandRecord& r = records()[i];
        if (r.segments > layout.segments_per_band || r.stream > 1) return false;
    }
    return true;
}

}  // namespace qlcshape
