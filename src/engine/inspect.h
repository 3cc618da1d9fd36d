// SPDX-License-Identifier: Apache-2.0
// The drives of an array as they are found without holding it: another process may have it open,
// and some may be missing or unreadable. Reads only, and holds no lock: what is read while another
// process writes may be of different moments. For statistics, never for a decision.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "device/device.h"
#include "meta/superblock_store.h"
#include "qlcshape/options.h"

namespace qlcshape {

struct Sight {
    struct Drive {
        std::unique_ptr<Device> device;
        SeenSuperblock seen;
    };
    std::vector<Drive> drives;       // with a superblock of the array that most of them have
    std::vector<Unusable> unusable;  // the others: missing, unreadable, of another array, a copy
};

// An error where no drive has a superblock of an array.
Result<Sight> see_array(const Options& options, IoQueue& queue);

}  // namespace qlcshape
