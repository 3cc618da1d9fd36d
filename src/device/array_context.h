// What every part of an open array needs to know of it: its layout, its identity, its drives.
// Constant while the array is open.
#pragma once

#include <cstdint>
#include <vector>

#include "base/uuid.h"
#include "device/device.h"
#include "format/layout.h"

namespace qlcshape {

struct ArrayContext {
    ArrayLayout layout;
    Uuid array;
    std::uint64_t epoch = 0;
    std::uint64_t epoch_key = 0;
    std::uint32_t shards = 1;
    std::vector<Device*> qlc;  // by drive number; null where the drive is missing
    std::vector<Device*> scm;  // by index; all there

    std::uint32_t shard_of(PageId page) const {
        return static_cast<std::uint32_t>(page.value % shards);
    }
};

}  // namespace qlcshape
