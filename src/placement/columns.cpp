// SPDX-License-Identifier: Apache-2.0
#include "placement/columns.h"

namespace qlcshape {

Columns::Columns(const ArrayLayout& layout)
    : width_(layout.width()),
      columns_(std::size_t{layout.bands} * layout.width()),
      rotations_(layout.bands) {
    const DriveSet all = ~DriveSet{} >> (DriveSet{}.size() - layout.p.qlc_count);
    for (std::uint32_t i = 0; i < layout.bands; ++i) choose(BandId(i), all);
}

Columns::Columns(const Columns& other)
    : width_(other.width_), columns_(other.columns_.size()), rotations_(other.rotations_.size()) {
    for (std::size_t i = 0; i < columns_.size(); ++i) columns_[i] = other.columns_[i].load();
    for (std::size_t i = 0; i < rotations_.size(); ++i) rotations_[i] = other.rotations_[i].load();
}

DriveSet Columns::drives(BandId band) const {
    DriveSet drives;
    for (std::uint32_t c = 0; c < width_; ++c) {
        if (of(band, c).there()) drives.set(of(band, c).member);
    }
    return drives;
}

void Columns::drop(BandId band, std::uint32_t drive) {
    for (std::uint32_t c = 0; c < width_; ++c) {
        if (of(band, c).there() && of(band, c).member == drive) set(band, c, {});
    }
}

// The slot of the band's number is nobody else's, on any drive.
void Columns::choose(BandId band, const DriveSet& drives) {
    std::uint32_t used = 0;
    for (std::uint32_t d = 0; d < drives.size() && used < width_; ++d) {
        if (drives[d])
            set(band, used++, {static_cast<std::uint8_t>(d), kSuperblockUnits + band.value});
    }
    for (std::uint32_t c = used; c < width_; ++c) set(band, c, {});
    set_rotation(band, used);
}

}  // namespace qlcshape
