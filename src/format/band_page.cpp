// SPDX-License-Identifier: Apache-2.0
#include "format/band_page.h"

#include <bitset>
#include <cstddef>
#include <cstring>

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
    return crc32c_without({block_, kBlockBytes}, offsetof(BandPageHeader, crc));
}

Column BandPage::column(std::uint32_t i, std::uint32_t column) {
    std::uint32_t packed = 0;
    std::memcpy(&packed, at(i) + kBandRecordBytes + column * kColumnBytes, sizeof(packed));
    return Column::unpack(packed);
}

void BandPage::set_column(std::uint32_t i, std::uint32_t column, Column to) {
    const std::uint32_t packed = to.packed();
    std::memcpy(at(i) + kBandRecordBytes + column * kColumnBytes, &packed, sizeof(packed));
}

void BandPage::seal(const Uuid& array, std::uint64_t page, std::uint64_t generation) {
    auto& h = header();
    h = BandPageHeader{};
    h.magic = kBandPageMagic;
    h.format = kFormatVersion;
    h.records = static_cast<std::uint16_t>(layout_->bands_per_page());
    h.array = array;
    h.page = page;
    h.generation = generation;
    h.crc = computed_crc();
}

bool BandPage::valid(const Uuid& array, std::uint64_t page) {
    const auto& h = header();
    if (h.magic != kBandPageMagic || h.format != kFormatVersion ||
        h.records != layout_->bands_per_page() || h.array != array || h.page != page ||
        h.crc != computed_crc()) {
        return false;
    }
    for (std::uint32_t i = 0; i < layout_->bands_per_page(); ++i) {
        if (record(i).state > BandState::erasing) return false;
    }
    return true;
}

bool BandPage::fits() {
    for (std::uint32_t i = 0; i < layout_->bands_per_page(); ++i) {
        if (!record_fits(i)) return false;
    }
    return true;
}

// Counts are hints: any will do. At most two columns may be missing, then or now, and no drive has
// two.
bool BandPage::record_fits(std::uint32_t i) {
    const ArrayLayout& l = *layout_;
    const BandRecord& r = record(i);
    if (r.segments > l.segments_per_band || r.stream > 1) return false;
    if (!r.has_columns()) return true;
    if (r.data_columns != l.p.data_strips || r.rotation < l.p.data_strips ||
        r.rotation > l.width() || r.index_segments != 0 || r.mean_written != 0 ||
        (r.flags & ~BandRecord::kValidIsEstimate) != 0)
        return false;
    std::bitset<Column::kNobody> seen;
    for (std::uint32_t c = 0; c < l.width(); ++c) {
        const Column place = column(i, c);
        if (!place.there()) continue;
        if (place.member >= l.p.qlc_count || seen[place.member] || place.slot < kSuperblockUnits ||
            place.slot >= l.drive_slots())
            return false;
        seen.set(place.member);
    }
    return seen.count() >= l.p.data_strips;
}

}  // namespace qlcshape
