// SPDX-License-Identifier: Apache-2.0
// Where the columns of all bands lie. A band's record in the band table says it; this is that part
// of the records in DRAM. A band gets its columns when it is opened, before its record is written.
#pragma once

#include <atomic>
#include <bitset>
#include <cstdint>
#include <vector>

#include "format/band_page.h"
#include "format/layout.h"

namespace qlcshape {

using DriveSet = std::bitset<Column::kNobody>;  // QLC drives by number

class Columns {
  public:
    // Every band has its column c on drive c, all in the slot of the band's number.
    explicit Columns(const ArrayLayout& layout);
    Columns(const Columns& other);

    // Any thread. While the band is in use it may lose one that is on a drive that is out, or get
    // one that it lacked, and nothing else changes; while it is being opened only statistics look,
    // and what they see of it may be half of each.
    Column of(BandId band, std::uint32_t column) const {
        return Column::unpack(columns_[place(band, column)].load(std::memory_order_relaxed));
    }
    // Columns when it was opened: roles rotate by this.
    std::uint32_t rotation(BandId band) const {
        return rotations_[band.value].load(std::memory_order_relaxed);
    }
    // Those that have one.
    DriveSet drives(BandId band) const;

    void set(BandId band, std::uint32_t column, Column to) {
        columns_[place(band, column)].store(to.packed(), std::memory_order_relaxed);
    }
    // The band has none on that drive any more.
    void drop(BandId band, std::uint32_t drive);
    void set_rotation(BandId band, std::uint32_t rotation) {
        rotations_[band.value].store(static_cast<std::uint8_t>(rotation),
                                     std::memory_order_relaxed);
    }
    // For a free band that is to be opened, on these drives: at least k, and at most k + 2 are
    // used.
    void choose(BandId band, const DriveSet& drives);
    std::uint64_t memory_bytes() const {
        return columns_.size() * sizeof(columns_[0]) + rotations_.size();
    }

  private:
    std::size_t place(BandId band, std::uint32_t column) const {
        return std::size_t{band.value} * width_ + column;
    }
    std::uint32_t width_;
    std::vector<std::atomic<std::uint32_t>> columns_;   // packed, by band
    std::vector<std::atomic<std::uint8_t>> rotations_;  // by band
};

}  // namespace qlcshape
