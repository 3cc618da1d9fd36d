// SPDX-License-Identifier: Apache-2.0
#include "placement/columns.h"

namespace qlcshape {

Columns::Columns(const ArrayLayout& layout)
    : width_(layout.width()), columns_(std::size_t{layout.bands} * layout.width()) {
    for (std::uint32_t i = 0; i < layout.bands; ++i) choose(BandId(i));
}

void Columns::choose(BandId band) {
    for (std::uint32_t c = 0; c < width_; ++c)
        set(band, c, {static_cast<std::uint8_t>(c), kSuperblockUnits + band.value});
}

}  // namespace qlcshape
