// SPDX-License-Identifier: Apache-2.0
#include "recovery/findings.h"

#include <algorithm>
#include <tuple>

namespace qlcshape {

// More room by steps, so that a thread that finds little leaves it to the others. Without any left
// the list is sorted by place, in each place the best first (see Best), and only that one stays.
void Findings::make_room() {
    constexpr std::size_t kStep = 4096;
    std::size_t left = room_->load();
    while (left != 0 && !room_->compare_exchange_weak(left, left - std::min(left, kStep))) {
    }
    most_ += std::min(left, kStep);
    if (left != 0) return;
    const auto place = [](const Finding& c) {
        return std::tuple(c.lba.value, c.blocks, c.sequence == kInMemory);
    };
    std::ranges::sort(list_, {}, [&](const Finding& c) {
        return std::tuple_cat(place(c),
                              std::tuple(~c.version.value, !c.entry.mapped(), c.sequence));
    });
    const auto rest = std::ranges::unique(list_, {}, place);
    list_.erase(rest.begin(), rest.end());
    // Where little was superseded, to sort again for every few more would take for ever.
    if (list_.size() > most_ / 8 * 7) too_many_ = true;
}

}  // namespace qlcshape
