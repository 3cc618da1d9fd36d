// SPDX-License-Identifier: Apache-2.0
#include "placement/failures.h"

#include <algorithm>

namespace qlcshape {

std::string drive_failures(const ArrayContext& array) {
    std::string text;
    const auto add = [&](const Device* d) {
        if (d != nullptr && d->failures() != 0)
            text += (text.empty() ? "" : "; ") + d->last_failure();
    };
    std::ranges::for_each(array.qlc.all(), add);
    std::ranges::for_each(array.scm.all(), add);
    return text.empty() ? "no drive reports a failed transfer" : text;
}

std::string failed_opening(const Io& by, const ArrayContext& array) {
    if (by.error_number == 0) return drive_failures(array) + "; open the array again";
    return what_failed(by) + "; " + remedy_of(by) + ", then open the array again";
}

std::size_t drives_away(const ArrayContext& array) {
    return static_cast<std::size_t>(std::ranges::count_if(array.qlc.all(), [](const Device* d) {
        return d == nullptr || d->out() || d->given_up() || d->silent();
    }));
}

bool beyond_parity(const ArrayContext& array) {
    constexpr std::size_t kParity = 2;
    return drives_away(array) > kParity;
}

}  // namespace qlcshape
