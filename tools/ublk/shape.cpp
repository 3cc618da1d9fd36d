// SPDX-License-Identifier: Apache-2.0
#include "tools/ublk/shape.h"

#include <algorithm>
#include <bit>

namespace qlcshape::ublk {

namespace {

constexpr std::uint32_t kBlockBytes = 4096;
// One discard or write-zeroes; longer ones are split by the kernel.
constexpr std::uint32_t kMaxDiscardBytes = 1U << 30;

std::uint8_t shift_of(std::uint64_t bytes) {
    return static_cast<std::uint8_t>(std::bit_width(bytes) - 1);
}

}  // namespace

Parameters parameters_of(const Shape& shape) {
    Parameters p;
    p.basic.attrs = shape.read_only ? UBLK_ATTR_READ_ONLY : 0;
    p.basic.logical_bs_shift = shift_of(shape.logical_block_bytes);
    p.basic.physical_bs_shift = shift_of(kBlockBytes);
    p.basic.io_min_shift = shift_of(kBlockBytes);
    // The interface has powers of two alone: of other sizes the next lower one.
    p.basic.io_opt_shift =
        shift_of(std::clamp<std::uint64_t>(shape.segment_bytes, kBlockBytes, 1U << 30));
    p.basic.max_sectors = kMaxDataBytes / kSectorBytes;
    p.basic.dev_sectors = shape.volume_bytes / kSectorBytes;
    p.discard.discard_granularity = kBlockBytes;
    p.discard.max_discard_sectors = kMaxDiscardBytes / kSectorBytes;
    p.discard.max_write_zeroes_sectors = kMaxDiscardBytes / kSectorBytes;
    p.discard.max_discard_segments = 1;
    return p;
}

DeviceInfo info_of(std::uint32_t cpus, std::uint64_t mark) {
    const std::uint32_t queues = std::clamp(cpus, 1U, kMaxQueues);
    DeviceInfo info{};
    info.dev_id = UINT32_MAX;
    info.nr_hw_queues = static_cast<std::uint16_t>(queues);
    info.queue_depth =
        static_cast<std::uint16_t>(std::clamp(kMaxRequests / queues, kMinDepth, kMaxDepth));
    info.max_io_buf_bytes = kMaxDataBytes;
    info.flags = kRecovery | kReissue | kUpdateSize;  // what a kernel doesn't know it drops
    info.ublksrv_flags = mark;
    return info;
}

// FNV-1a. Both UUIDs are random, so that two volumes share a mark once in 2^64.
std::uint64_t mark_of(const std::string& array_uuid, const std::string& volume_uuid) {
    std::uint64_t mark = 0xcbf29ce484222325;
    for (const char c : array_uuid + "/" + volume_uuid)
        mark = (mark ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return mark == 0 ? 1 : mark;
}

}  // namespace qlcshape::ublk
