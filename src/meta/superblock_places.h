// SPDX-License-Identifier: Apache-2.0
// Where records lie on a drive: two units, each with as many slots as fit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "format/superblock.h"

namespace qlcshape {

struct Places {
    std::uint64_t record_bytes = 0;
    std::uint64_t unit_bytes = 0;
    std::uint32_t slots() const {
        return static_cast<std::uint32_t>(
            std::min<std::uint64_t>(kSuperblockSlots, unit_bytes / record_bytes));
    }
    std::uint64_t offset(std::uint32_t unit, std::uint32_t slot) const {
        return unit * unit_bytes + slot * record_bytes;
    }
};

}  // namespace qlcshape
