// SPDX-License-Identifier: Apache-2.0
#include "base/kept.h"

#include <mutex>
#include <utility>
#include <vector>

namespace qlcshape {

void keep(std::shared_ptr<const void> thing) {
    struct Kept {
        std::mutex mutex;
        std::vector<std::shared_ptr<const void>> things;
    };
    static Kept& kept = *new Kept;  // never destroyed, as little as what is in it
    const std::lock_guard lock(kept.mutex);
    kept.things.push_back(std::move(thing));
}

}  // namespace qlcshape
