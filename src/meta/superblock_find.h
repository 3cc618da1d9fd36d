// SPDX-License-Identifier: Apache-2.0
// Finds the newest whole superblock of each device, and judges none of them: what they say together
// is superblock_store.h's. Every call blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/io.h"
#include "meta/superblock_store.h"

namespace qlcshape {

struct FoundSuperblock : SeenSuperblock {
    std::uint32_t unit = 0;
    std::uint32_t slot = 0;
    bool next_blank = false;  // nothing lies after it in its unit
};

using FoundEach = std::vector<Result<FoundSuperblock>>;

// Each device by its own first block; those that have none there, since that unit is to be used
// next, by the places that others tell, or `hint`.
FoundEach find_all(const std::vector<std::unique_ptr<Device>>& devices, IoQueue& queue,
                   std::optional<ArrayLayout> hint = {});

// A record that can't be read this once must not count as damaged: an older one would be taken,
// and the unit of the newest one discarded next, after which the drive looks older than the others.
Result<Superblock> read_firmly(Device& device, std::uint64_t offset, std::uint64_t bytes,
                               Uuid* identity, IoQueue& queue);

}  // namespace qlcshape
