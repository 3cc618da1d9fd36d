// SPDX-License-Identifier: Apache-2.0
#include "format/tps_record.h"

#include <cstddef>

#include "base/crc32c.h"
#include "format/format_version.h"

namespace qlcshape {

std::uint32_t TpsRecord::computed_crc() const {
    return crc32c_without(bytes_.first(std::uint64_t{fixed().header_blocks} * kBlockBytes),
                          offsetof(TpsRecordFixed, crc));
}

void TpsRecord::seal() {
    fixed().magic = kTpsMagic;
    fixed().format = kFormatVersion;
    fixed().entry_format = kEntryFormat;
    fixed().header_blocks = static_cast<std::uint16_t>(tps_header_blocks(fixed().entries));
    fixed().crc = computed_crc();
}

bool TpsRecord::intact(const Uuid& array, std::uint64_t epoch, std::uint64_t epoch_key,
                       std::uint32_t shard, std::uint64_t position) const {
    const auto& f = fixed();
    return f.magic == kTpsMagic && f.format == kFormatVersion && f.array == array &&
           f.epoch == epoch && f.epoch_key == epoch_key && f.shard == shard &&
           f.position == position && f.header_blocks != 0 &&
           std::uint64_t{f.header_blocks} * kBlockBytes <= bytes_.size() && f.crc == computed_crc();
}

std::string TpsRecord::unknown() const {
    const auto& f = fixed();
    if (f.entry_format != kEntryFormat) return fmt::format("entry format {}", f.entry_format);
    if (f.key_id != 0) return fmt::format("encryption key {}", f.key_id);
    return {};
}

bool TpsRecord::valid(const Uuid& array, std::uint64_t epoch, std::uint64_t epoch_key,
                      std::uint32_t shard, std::uint64_t position) const {
    const auto& f = fixed();
    return intact(array, epoch, epoch_key, shard, position) && unknown().empty() &&
           f.payload_blocks <= f.entries && f.header_blocks == tps_header_blocks(f.entries);
}

bool TpsRecord::fits(const ArrayLayout& layout) const {
    const std::uint32_t entries = fixed().entries;
    if (bytes() > bytes_.size() || entries > tps_max_entries(layout)) return false;
    for (std::uint32_t i = 0; i < entries; ++i) {
        const Entry e = entry(i);
        if (page_of(e.lba).value >= layout.pmt_pages) return false;
        if (e.kind == EntryKind::data) continue;
        if (e.kind != EntryKind::tombstones || e.crc == 0 ||
            e.crc > kPageEntries - e.lba.value % kPageEntries) {
            return false;
        }
    }
    return true;
}

bool TpsRecord::payload_whole() const {
    const std::byte* block = bytes_.data() + header_bytes();
    std::uint32_t blocks = 0;
    for (std::uint32_t i = 0; i < fixed().entries; ++i) {
        const Entry e = entry(i);
        if (e.kind == EntryKind::tombstones) continue;
        if (blocks == fixed().payload_blocks || crc32c({block, kBlockBytes}) != e.crc) return false;
        block += kBlockBytes;
        ++blocks;
    }
    return blocks == fixed().payload_blocks;
}

}  // namespace qlcshape
