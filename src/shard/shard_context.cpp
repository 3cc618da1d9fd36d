// SPDX-License-Identifier: Apache-2.0
#include "shard/shard_context.h"

namespace qlcshape {

ShardContext::ShardContext(const Shared& shared, std::uint32_t number, std::uint64_t cache_sets,
                           IoQueue& io_queue, std::span<std::byte> segment_memory)
    : array(shared.array),
      index(number),
      bands(shared.bands),
      gate(shared.gate),
      next_version(shared.next_version),
      queue(io_queue),
      overlay(std::size_t{kRamSegments} * array.layout.slots_per_segment),
      cache(array, shared.bitmap, cache_sets, queue, counters) {
    const std::uint64_t bytes = SegmentBuffer::bytes_needed(array.layout);
    ram.reserve(kRamSegments);
    for (std::uint32_t i = 0; i < kRamSegments; ++i)
        ram.emplace_back(array.layout, segment_memory.subspan(i * bytes, bytes), i);
}

}  // namespace qlcshape
