// SPDX-License-Identifier: Apache-2.0
// A TPS record with its payload, used as the scan after a crash does: each tombstone lies in one
// page, each data entry has a block.
#include "format/tps_record.h"

#include "base/buffer.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    fuzz::Input input(data, size);
    const auto mode = input.take<std::uint8_t>();
    const ArrayLayout& l = fuzz::layout_for(mode);
    constexpr std::uint64_t kEpoch = 3, kKey = 0x1234, kPosition = 8192;
    constexpr std::uint32_t kShard = 0;
    // As much as is left of the ring behind the record.
    Buffer memory(round_up(std::max<std::size_t>(input.left().size(), 1), kBlockBytes));
    input.take(memory.span());
    TpsRecord record(memory.span());
    if ((mode & fuzz::kSeal) != 0 && record.header_bytes() <= memory.size()) {
        TpsRecordFixed& f = record.fixed();
        f.array = fuzz::array_uuid();
        f.epoch = kEpoch;
        f.epoch_key = kKey;
        f.shard = kShard;
        f.position = kPosition;
        record.seal();
    }
    if (!record.valid(fuzz::array_uuid(), kEpoch, kKey, kShard, kPosition) || !record.fits(l))
        return 0;
    QS_ASSERT(record.bytes() <= memory.size());
    QS_ASSERT(record.fixed().entries <= tps_max_entries(l));
    const bool whole = record.payload_whole();
    std::uint32_t blocks = 0;
    for (std::uint32_t i = 0; i < record.fixed().entries; ++i) {
        const Entry e = record.entry(i);
        QS_ASSERT(e.kind == EntryKind::data || e.kind == EntryKind::tombstones);
        QS_ASSERT(page_of(e.lba).value < l.pmt_pages);
        if (e.kind == EntryKind::tombstones) {
            QS_ASSERT(e.crc >= 1 && e.lba.value % kPageEntries + e.crc <= kPageEntries);
            continue;
        }
        ++blocks;
        QS_ASSERT(!whole || blocks <= record.fixed().payload_blocks);
    }
    return 0;
}
