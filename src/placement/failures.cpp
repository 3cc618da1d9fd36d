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

namespace {

bool is_away(const Device* d) { return d == nullptr || d->out() || d->given_up() || d->silent(); }

}  // namespace

std::size_t drives_away(const ArrayContext& array) {
    return static_cast<std::size_t>(std::ranges::count_if(array.qlc.all(), is_away));
}

bool beyond_parity(const ArrayContext& array) {
    std::size_t missed = 0;
    for (std::uint32_t d = 0; d < array.qlc.size(); ++d)
        missed += is_away(array.qlc[d]) && array.columns->taken_on(d) != 0 ? 1 : 0;
    return missed > array.layout.width() - array.layout.p.data_strips;
}

bool beyond_parity(const ArrayContext& array, BandId band) {
    std::uint32_t answer = 0;
    for (std::uint32_t c = 0; c < array.layout.width(); ++c) {
        const Location place = array.locate_column(band, c);
        answer += place.there() && !is_away(array.qlc[place.drive]) ? 1 : 0;
    }
    return answer < array.layout.p.data_strips;
}

}  // namespace qlcshape
