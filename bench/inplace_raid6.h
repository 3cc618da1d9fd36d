// SPDX-License-Identifier: Apache-2.0
// The comparison: RAID6 updated in place, as a RAID6 without write shaping does it. Each
// 4 KiB random write reads the old data, P and Q, writes the new ones, and is acknowledged when the
// three drives' volatile caches are flushed. One flush of a drive serves all writes before it.
//
// It is as quick as in-place can be made here (all three reads at once, all three writes at once,
// `depth` blocks in flight, locks on single parity blocks) and yet has the write hole: a cut
// between the three writes leaves a stripe that lies. One thread, one queue, nothing shared.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "base/error.h"
#include "device/device.h"

namespace qlcshape {

// What of each drive is used. The drives must hold zeroes there, or consistent stripes: updating
// parity in place keeps it right but doesn't make it right.
struct InplaceLayout {
    std::uint32_t data_strips = 8;      // k; there are k+2 drives
    std::uint64_t strip_bytes = 0;      // a multiple of 4096
    std::uint64_t offset = 0;           // where the region begins on each drive, a multiple of 4096
    std::uint64_t bytes_per_drive = 0;  // at least a strip
};

// Whichever is reached first.
struct InplaceLimits {
    std::uint64_t writes = std::numeric_limits<std::uint64_t>::max();
    double seconds = std::numeric_limits<double>::infinity();
};

struct InplaceResult {
    std::uint64_t writes = 0;  // acknowledged
    double seconds = 0;
    std::uint64_t reads_issued = 0;
    std::uint64_t writes_issued = 0;
    std::uint64_t flushes_issued = 0;
};

// Uniformly random 4 KiB writes, `depth` in flight. Fails with the first device error, when all
// that was in flight has ended.
Result<InplaceResult> run_inplace_raid6(std::span<Device* const> qlc, const InplaceLayout& layout,
                                        std::uint32_t depth, const InplaceLimits& limits,
                                        std::uint64_t seed);

// Reads the whole region and compares P and Q of each stripe with its data.
Status check_inplace_parity(std::span<Device* const> qlc, const InplaceLayout& layout);

}  // namespace qlcshape
