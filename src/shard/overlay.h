// SPDX-License-Identifier: Apache-2.0
// Which blocks of the shard are newest in RAM: LBA -> slot of a RAM segment. In addition to the
// PMT, not in it: the table keeps what is durable. If the table led to RAM instead, the durable
// version beneath would look like garbage, GC would erase it, and a power cut would lose both. Nor
// could a page be written back or leave the cache while one of its blocks is in RAM.
//
// Bounded by the slots of the RAM segments, so it never grows. Open addressing with linear probing,
// at most half full. The shard's thread, or a thread that holds its lock.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/types.h"

namespace qlcshape {

struct RamPlace {
    Version version;
    std::uint32_t segment = 0;  // index of the RAM segment
    std::uint32_t slot = 0;
};

class Overlay {
  public:
    explicit Overlay(std::size_t most)
        : cells_(std::bit_ceil(2 * most)), mask_(cells_.size() - 1) {}

    const RamPlace* find(Lba lba) const {
        for (std::size_t i = home(lba);; i = (i + 1) & mask_) {
            if (!cells_[i].used) return nullptr;
            if (cells_[i].lba == lba) return &cells_[i].place;
        }
    }

    void set(Lba lba, const RamPlace& place) {
        std::size_t i = home(lba);
        while (cells_[i].used && cells_[i].lba != lba) i = (i + 1) & mask_;
        if (!cells_[i].used) QS_ASSERT(++used_ <= cells_.size() / 2);
        cells_[i] = Cell{lba, place, true};
    }

    void erase(Lba lba) {
        std::size_t hole = home(lba);
        while (cells_[hole].lba != lba || !cells_[hole].used) {
            if (!cells_[hole].used) return;
            hole = (hole + 1) & mask_;
        }
        --used_;
        // Close the gap: move back whatever would no longer be found, since a search ends at the
        // first unused cell. Whose home is after the hole stays.
        for (std::size_t i = (hole + 1) & mask_; cells_[i].used; i = (i + 1) & mask_) {
            const std::size_t wanted = home(cells_[i].lba);
            if (((i - wanted) & mask_) >= ((i - hole) & mask_)) {
                cells_[hole] = cells_[i];
                hole = i;
            }
        }
        cells_[hole].used = false;
    }

    std::size_t size() const { return used_; }
    std::uint64_t memory_bytes() const { return cells_.size() * sizeof(Cell); }

  private:
    struct Cell {
        Lba lba;
        RamPlace place;
        bool used = false;
    };
    std::size_t home(Lba lba) const {
        return static_cast<std::size_t>((lba.value * 0x9e3779b97f4a7c15) >> 32) & mask_;
    }

    std::vector<Cell> cells_;
    std::size_t mask_;
    std::size_t used_ = 0;
};

}  // namespace qlcshape
