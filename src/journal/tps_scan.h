// SPDX-License-Identifier: Apache-2.0
// Reads what the TPS holds after a crash: the records of the last epoch that still count, from
// whichever mirror has them whole.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "format/entry.h"
#include "placement/array_context.h"

namespace qlcshape {

struct TpsEntry {
    Entry entry;                      // kind tombstones: `crc` is the length in blocks
    const std::byte* data = nullptr;  // of a data entry; lies in TpsContents::memory
};

struct BandFrontier {
    std::uint32_t band = 0;
    std::uint64_t sequence = 0;
    std::uint32_t frontier = 0;
};

struct TpsContents {
    std::vector<TpsEntry> entries;
    std::vector<BandFrontier> frontiers;
    std::uint64_t records = 0;
    std::uint64_t max_version = 0;      // of all records seen, also void ones: none is given twice
    std::vector<std::uint64_t> newest;  // by shard: the highest sequence of a record seen
    std::vector<Buffer> memory;
};

// `array.epoch` is the epoch that crashed. An acknowledged record that no mirror has is an error.
Result<TpsContents> scan_tps(const ArrayContext& array, IoQueue& queue);

}  // namespace qlcshape
