// SPDX-License-Identifier: Apache-2.0
// Which slots of the QLC drives are taken, each by a column of a band. A slot that is free may
// still hold something, as of a column that was given up half written: it is erased before its
// next use.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "format/layout.h"

namespace qlcshape {

class Slots {
  public:
    // All free; none is known to be erased.
    explicit Slots(const ArrayLayout& layout);
    Slots(std::uint32_t drives, std::uint32_t slots);  // of each, superblock units included
    Slots all_free() const { return {drives(), slots_}; }

    // --- any thread ---
    std::uint32_t drives() const { return static_cast<std::uint32_t>(free_.size()); }
    std::uint32_t free_on(std::uint32_t drive) const {
        return free_[drive].load(std::memory_order_relaxed);
    }
    // By bands.
    std::uint32_t taken_on(std::uint32_t drive) const {
        return slots_ - kSuperblockUnits - free_on(drive) -
               spoiled_on_[drive].load(std::memory_order_relaxed);
    }

    // --- the thread that gives bands their columns ---
    void free_all();
    bool is_taken(std::uint32_t drive, std::uint32_t slot) const {
        return taken_[index(drive, slot)];
    }
    bool is_erased(std::uint32_t drive, std::uint32_t slot) const {
        return erased_[index(drive, slot)];
    }
    void take(std::uint32_t drive, std::uint32_t slot);
    // The first free one from that slot on, and then from the first; free_on() is not 0.
    std::uint32_t take_from(std::uint32_t drive, std::uint32_t slot);
    void give_back(std::uint32_t drive, std::uint32_t slot, bool erased);
    void set_erased(std::uint32_t drive, std::uint32_t slot) { erased_[index(drive, slot)] = true; }
    // One that is taken is nobody's, and stays so until forgive(): the drive does not erase it, or
    // somebody may still read what was there.
    void spoil(std::uint32_t drive, std::uint32_t slot);
    void forgive(std::uint32_t drive);
    void forgive(std::uint32_t drive, std::uint32_t slot);  // if it is such a one

    std::uint64_t memory_bytes() const { return 3 * taken_.size() / 8; }

  private:
    std::size_t index(std::uint32_t drive, std::uint32_t slot) const {
        return std::size_t{drive} * slots_ + slot;
    }
    std::uint32_t slots_;
    std::vector<bool> taken_;  // by drive and slot
    std::vector<bool> erased_;
    std::vector<bool> spoiled_;
    std::vector<std::atomic<std::uint32_t>> free_, spoiled_on_;  // by drive
};

}  // namespace qlcshape
