// SPDX-License-Identifier: Apache-2.0
#include "format/segment_header.h"

#include <cstddef>

#include "base/crc32c.h"
#include "format/format_version.h"

namespace qlcshape {

std::uint32_t SegmentHeader::computed_crc() const {
    return crc32c_without(bytes(), offsetof(SegmentHeaderFixed, crc));
}

void SegmentHeader::seal() {
    fixed().magic = kSegmentMagic;
    fixed().format = kFormatVersion;
    fixed().entry_format = kEntryFormat;
    fixed().header_blocks = static_cast<std::uint16_t>(layout_->header_blocks);
    fixed().slots = static_cast<std::uint16_t>(layout_->slots_per_segment);
    fixed().crc = computed_crc();
}

bool SegmentHeader::intact(const Uuid& array, BandId band, std::uint32_t segment) const {
    const auto& f = fixed();
    return f.magic == kSegmentMagic && f.format == kFormatVersion && f.array == array &&
           f.band == band.value && f.segment == segment &&
           f.header_blocks == layout_->header_blocks && f.slots == layout_->slots_per_segment &&
           f.crc == computed_crc();
}

std::string SegmentHeader::unknown() const {
    const auto& f = fixed();
    if (f.entry_format != kEntryFormat) return fmt::format("entry format {}", f.entry_format);
    if (f.contents != 0) return fmt::format("contents of kind {}", f.contents);
    if (f.key_id != 0) return fmt::format("encryption key {}", f.key_id);
    return {};
}

bool SegmentHeader::valid(const Uuid& array, BandId band, std::uint32_t segment) const {
    const auto& f = fixed();
    return intact(array, band, segment) && unknown().empty() &&
           f.frontier <= layout_->segments_per_band && f.max_version >> kVersionBits == 0 &&
           entries_fit();
}

bool SegmentHeader::blocks_fit(std::uint32_t role, std::uint64_t at,
                               std::span<const std::byte> blocks) const {
    const std::uint64_t first = role * layout_->p.strip_bytes + at;
    for (std::uint64_t i = 0; i < blocks.size(); i += kBlockBytes) {
        const std::uint64_t block = (first + i) / kBlockBytes;
        if (block < layout_->header_blocks) continue;
        const auto slot = static_cast<std::uint32_t>(block - layout_->header_blocks);
        if (crc32c(blocks.subspan(i, kBlockBytes)) != entry(slot).crc) return false;
    }
    return true;
}

bool SegmentHeader::entries_fit() const {
    for (std::uint32_t slot = 0; slot < layout_->slots_per_segment; ++slot) {
        const Entry e = entry(slot);
        if (e.kind == EntryKind::empty) continue;
        if (page_of(e.lba).value >= layout_->pmt_pages || e.version.value > fixed().max_version)
            return false;
    }
    return true;
}

}  // namespace qlcshape
