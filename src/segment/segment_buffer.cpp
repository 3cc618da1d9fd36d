// SPDX-License-Identifier: Apache-2.0
#include "segment/segment_buffer.h"

#include "base/crc32c.h"

namespace qlcshape {

void SegmentBuffer::finish_filling() {
    const std::uint32_t used_end = layout_.slots_per_segment - tombstone_blocks_;
    for (std::uint32_t slot = fill_; slot < used_end; ++slot) {
        std::memset(slot_data(slot), 0, kBlockBytes);
        header_.set_entry(slot, Entry{EntryKind::empty, Lba(0), Version(0), zero_block_crc32c()});
    }
    for (std::uint32_t i = 0; i < tombstone_blocks_; ++i) {
        const std::uint32_t slot = layout_.slots_per_segment - 1 - i;
        const std::uint32_t crc = crc32c({tombstone_block(i), kBlockBytes});
        header_.set_entry(slot, Entry{EntryKind::tombstones, Lba(0), Version(max_version_), crc});
    }
}

}  // namespace qlcshape
