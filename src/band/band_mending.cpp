// SPDX-License-Identifier: Apache-2.0
// Bands that are read, or moved, though not for space.
#include <utility>

#include "band/band_table.h"
#include "base/assert.h"

namespace qlcshape {

BandTable::Life BandTable::hold(BandId id) {
    const Locked lock(mutex_);
    const Band& band = at(id);
    const bool readable = band.state == BandState::closed && !band.moving;
    if (readable) begin_read(id);
    return {readable,
            band.state == BandState::closed && band.moving,
            band.damaged,
            band.out_of_use || band.unmended,
            band.sequence,
            band.segments,
            band.valid.load(std::memory_order_relaxed)};
}

void BandTable::move_soon(BandId id, std::uint64_t sequence) {
    {
        const Locked lock(mutex_);
        Band& band = at(id);
        if (band.state != BandState::closed || band.sequence != sequence || band.out_of_use ||
            band.unmended)
            return;
        const bool before = waits(band);
        band.move_soon = true;
        count_waiting(before, band);
        change();
    }
    ring();
}

bool BandTable::mark_damaged(BandId id, std::uint64_t sequence, bool again) {
    {
        const Locked lock(mutex_);
        Band& band = at(id);
        if (band.state != BandState::closed || band.out_of_use || band.sequence != sequence)
            return false;
        if (band.unmended && !again) return false;
        if (std::exchange(band.unmended, false)) unmended_.fetch_sub(1, std::memory_order_relaxed);
        const bool before = waits(band);
        if (std::exchange(band.damaged, true)) return true;
        damaged_.fetch_add(1, std::memory_order_relaxed);
        count_waiting(before, band);
        change();
    }
    ring();
    return true;
}

void BandTable::not_mended(BandId id) {
    const Locked lock(mutex_);
    Band& band = at(id);
    QS_ASSERT(band.moving);
    end_damage(band);
    band.moving = false;
    if (!std::exchange(band.unmended, true)) unmended_.fetch_add(1, std::memory_order_relaxed);
    ends_.fetch_add(1, std::memory_order_release);
    change();
}

// Of one that is being moved.
void BandTable::end_damage(Band& band) {
    band.move_soon = false;
    if (!std::exchange(band.damaged, false)) return;
    damaged_.fetch_sub(1, std::memory_order_relaxed);
    ends_.fetch_add(1, std::memory_order_release);
}

std::optional<BandId> BandTable::to_mend() const {
    if (!any_to_mend()) return std::nullopt;
    const Locked lock(mutex_);
    for (std::uint32_t i = 0; i < bands_.size(); ++i) {
        if (waits(bands_[i])) return BandId(i);
    }
    return std::nullopt;
}

}  // namespace qlcshape
