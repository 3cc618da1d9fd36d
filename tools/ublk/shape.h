// SPDX-License-Identifier: Apache-2.0
// What a volume's block device looks like: its parameters, the number of its queues, and the mark
// by which a later server knows whose device it is. No I/O, no state.
#pragma once

#include <cstdint>
#include <string>

#include "qlcshape/options.h"
#include "qlcshape/stats.h"
#include "tools/ublk/kernel.h"

namespace qlcshape::ublk {

// A request carries at most so many bytes of data.
constexpr std::uint32_t kMaxDataBytes = 1 << 20;
// Requests that a device can have in all its queues, and so buffers of the size above. Only those
// that were used take memory.
constexpr std::uint32_t kMaxRequests = 512;
constexpr std::uint32_t kMaxDepth = 128;
constexpr std::uint32_t kMinDepth = 4;
constexpr std::uint32_t kMaxQueues = kMaxRequests / kMinDepth;

struct Shape {
    std::uint64_t volume_bytes = 0;
    std::uint64_t segment_bytes = 0;           // of data in a segment: the best size of a write
    std::uint32_t logical_block_bytes = 4096;  // 4096 or 512
    bool read_only = false;
};

// The volume has no cache that a flush would empty: what was acknowledged is durable. So the kernel
// is told of none, and sends neither flushes nor FUA.
Parameters parameters_of(const Shape& shape);

// A queue for each CPU.
DeviceInfo info_of(std::uint32_t cpus, std::uint64_t mark);

// Of this volume of this array, whatever their names and sizes; never 0. The kernel keeps it with
// the device (ublksrv_flags), so that no file has to be agreed on.
std::uint64_t mark_of(const std::string& array_uuid, const std::string& volume_uuid);

}  // namespace qlcshape::ublk
