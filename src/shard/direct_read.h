// What a thread needs that reads a few blocks itself (Shard::read_here()): kept from read to read.
#pragma once

#include <array>
#include <cstdint>

#include "base/buffer.h"
#include "segment/block_reader.h"

namespace qlcshape {

struct DirectRead {
    static constexpr std::uint32_t kMostBlocks = 32;
    static constexpr std::uint32_t kMostRuns = 4;

    struct Run : BlockRead {
        std::uint32_t first_block = 0;  // of the op
    };

    Buffer memory{std::size_t{kMostBlocks} * kBlockBytes};
    std::array<Run, kMostRuns> runs;
    std::uint32_t used = 0;
};

}  // namespace qlcshape
