// SPDX-License-Identifier: Apache-2.0
// Where the columns of all bands lie. A band's record in the band table says it; this is that part
// of the records in DRAM. A band gets its columns when it is opened, before its record is written.
#pragma once

#include <cstdint>
#include <vector>

#include "format/band_page.h"
#include "format/layout.h"

namespace qlcshape {

class Columns {
  public:
    // Every band has its column c on drive c, all in the slot of the band's number.
    explicit Columns(const ArrayLayout& layout);

    // Any thread; none changes while the band is in use.
    Column of(BandId band, std::uint32_t column) const { return Column::unpack(at(band, column)); }
    void set(BandId band, std::uint32_t column, Column to) { at(band, column) = to.packed(); }
    // For a free band that is to be opened.
    void choose(BandId band);
    std::uint64_t memory_bytes() const { return columns_.size() * sizeof(columns_[0]); }

  private:
    std::uint32_t& at(BandId band, std::uint32_t column) {
        return columns_[std::size_t{band.value} * width_ + column];
    }
    std::uint32_t at(BandId band, std::uint32_t column) const {
        return columns_[std::size_t{band.value} * width_ + column];
    }
    const std::uint32_t width_;
    std::vector<std::uint32_t> columns_;  // packed, by band
};

}  // namespace qlcshape
