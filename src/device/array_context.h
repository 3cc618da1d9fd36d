// SPDX-License-Identifier: Apache-2.0
// What every part of an open array needs to know about it: its layout, its identity, its drives.
// Constant while the array is open.
#pragma once

#include <cstdint>
#include <vector>

#include "base/uuid.h"
#include "device/device.h"
#include "device/io.h"
#include "format/layout.h"
#include "format/pmt_page.h"

namespace qlcshape {

struct ArrayContext {
    ArrayLayout layout;
    Uuid array;
    std::uint64_t epoch = 0;
    std::uint64_t epoch_key = 0;
    std::uint32_t shards = 1;
    std::vector<Device*> qlc;  // by drive number; null where the drive is missing
    std::vector<Device*> scm;  // by index; all are present

    // A transfer of that page of the PMT; `block` is a block.
    Io pmt_io(IoKind kind, PageId page, std::byte* block,
              PersistencePoint point = PersistencePoint::none) const {
        Io io;
        io.kind = kind;
        io.device = scm[layout.pmt_drive(page)];
        io.offset = layout.pmt_page_offset(page);
        io.bytes = kBlockBytes;
        io.data = block;
        io.point = point;
        return io;
    }

    // Reads a page of the PMT; false if it is damaged, another page, or has impossible entries.
    // `generation`: the oldest sector's.
    bool decode_page(const std::byte* block, PageId page, PmtEntry* entries,
                     std::uint32_t& generation) const {
        return decode_pmt_page(block, page, array, entries, &generation) &&
               pmt_entries_fit(entries, layout);
    }

    std::uint32_t shard_of(PageId page) const {
        return static_cast<std::uint32_t>(page.value % shards);
    }
};

}  // namespace qlcshape
