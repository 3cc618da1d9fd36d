// SPDX-License-Identifier: Apache-2.0
#include "placement/slots.h"

#include "base/assert.h"

namespace qlcshape {

Slots::Slots(const ArrayLayout& layout) : Slots(layout.p.qlc_count, layout.drive_slots()) {}

Slots::Slots(std::uint32_t drives, std::uint32_t slots)
    : slots_(slots),
      taken_(std::size_t{drives} * slots),
      erased_(taken_.size()),
      spoiled_(taken_.size()),
      free_(drives),
      spoiled_on_(drives) {
    free_all();
}

void Slots::free_all() {
    taken_.assign(taken_.size(), false);
    erased_.assign(erased_.size(), false);
    spoiled_.assign(spoiled_.size(), false);
    for (auto& free : free_) free = slots_ - kSuperblockUnits;
    for (auto& spoiled : spoiled_on_) spoiled = 0;
}

void Slots::take(std::uint32_t drive, std::uint32_t slot) {
    QS_ASSERT(!is_taken(drive, slot));
    taken_[index(drive, slot)] = true;
    free_[drive].fetch_sub(1, std::memory_order_relaxed);
}

std::uint32_t Slots::take_from(std::uint32_t drive, std::uint32_t slot) {
    QS_ASSERT(free_on(drive) != 0);
    while (is_taken(drive, slot)) {
        if (++slot == slots_) slot = kSuperblockUnits;
    }
    take(drive, slot);
    return slot;
}

void Slots::give_back(std::uint32_t drive, std::uint32_t slot, bool erased) {
    QS_ASSERT(is_taken(drive, slot));
    taken_[index(drive, slot)] = false;
    erased_[index(drive, slot)] = erased;
    free_[drive].fetch_add(1, std::memory_order_relaxed);
}

void Slots::spoil(std::uint32_t drive, std::uint32_t slot) {
    QS_ASSERT(is_taken(drive, slot));
    spoiled_[index(drive, slot)] = true;
    spoiled_on_[drive].fetch_add(1, std::memory_order_relaxed);
}

void Slots::forgive(std::uint32_t drive) {
    for (std::uint32_t slot = kSuperblockUnits; slot < slots_; ++slot) forgive(drive, slot);
}

void Slots::forgive(std::uint32_t drive, std::uint32_t slot) {
    if (!spoiled_[index(drive, slot)]) return;
    spoiled_[index(drive, slot)] = false;
    spoiled_on_[drive].fetch_sub(1, std::memory_order_relaxed);
    give_back(drive, slot, false);
}

}  // namespace qlcshape
