// SPDX-License-Identifier: Apache-2.0
#include "placement/columns.h"

#include <algorithm>

#include "base/random.h"

namespace qlcshape {

Columns::Columns(const ArrayLayout& layout)
    : k_(layout.p.data_strips),
      width_(layout.width()),
      band_slots_(layout.band_slots),
      columns_(std::size_t{layout.bands} * layout.width()),
      rotations_(layout.bands),
      bands_free_(layout.bands),
      slots_(layout) {
    for (std::uint32_t i = 0; i < layout.bands; ++i) {
        for (std::uint32_t c = 0; c < width_; ++c) {
            const std::uint64_t at = std::uint64_t{i} * width_ + c;
            set(BandId(i), c,
                {static_cast<std::uint8_t>(at % layout.p.qlc_count),
                 static_cast<std::uint32_t>(kSuperblockUnits + at / layout.p.qlc_count)});
        }
        set_rotation(BandId(i), width_);
    }
}

Columns::Columns(const Columns& other)
    : k_(other.k_),
      width_(other.width_),
      band_slots_(other.band_slots_),
      columns_(other.columns_.size()),
      rotations_(other.rotations_.size()),
      bands_free_(static_cast<std::uint32_t>(other.rotations_.size())),
      slots_(other.slots_.all_free()) {
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

void Columns::free_all() {
    slots_.free_all();
    bands_free_ = static_cast<std::uint32_t>(rotations_.size());
}

void Columns::take(BandId band) {
    for (std::uint32_t c = 0; c < width_; ++c) {
        if (const Column at = of(band, c); at.there()) slots_.take(at.member, at.slot);
    }
    bands_free_.fetch_sub(1, std::memory_order_relaxed);
}

// Whether `bands` bands can have that many columns each, once a slot of each of `one_less` is gone.
bool Columns::fit(const DriveSet& drives, const DriveSet& one_less, std::uint32_t bands,
                  std::uint32_t columns) const {
    std::uint64_t room = 0;
    for (std::uint32_t d = 0; d < slots_.drives(); ++d) {
        const std::uint32_t free = slots_.free_on(d);  // another thread may have taken the last
        if (drives[d]) room += std::min(free - (one_less[d] && free != 0 ? 1 : 0), bands);
    }
    return room >= std::uint64_t{columns} * bands;
}

// Whether a band may have so many columns, on these: all others can still have one less.
bool Columns::leaves_room(const DriveSet& drives, const DriveSet& taken, std::uint32_t bands,
                          std::uint32_t columns) const {
    return fit(drives, taken, bands, std::max(columns - 1, k_));
}

// Among those with as many free slots the order is another one for each band, so that any two
// drives have about as many bands in common as any other two.
bool Columns::has_more_room(BandId band, std::uint32_t one, std::uint32_t other) const {
    if (slots_.free_on(one) != slots_.free_on(other))
        return slots_.free_on(one) > slots_.free_on(other);
    const auto draw = [&](std::uint32_t d) {
        return Random(std::uint64_t{band.value} << 8 | d).next();
    };
    return draw(one) > draw(other);
}

// The `count` with the most room; fewer where not so many have a free slot.
DriveSet Columns::roomiest(BandId band, const DriveSet& drives, std::uint32_t count) const {
    DriveSet chosen;
    while (chosen.count() < count) {
        std::optional<std::uint32_t> best;
        for (std::uint32_t d = 0; d < slots_.drives(); ++d) {
            if (!drives[d] || chosen[d] || !has_slot(band, d)) continue;
            if (!best || has_more_room(band, d, *best)) best = d;
        }
        if (!best) break;
        chosen.set(*best);
    }
    return chosen;
}

bool Columns::have_room(const DriveSet& drives) const {
    std::uint32_t with_room = 0;
    for (std::uint32_t d = 0; d < slots_.drives(); ++d)
        with_room += drives[d] && slots_.free_on(d) != 0 ? 1 : 0;
    return with_room >= k_;
}

bool Columns::have_room_for_all_of(const DriveSet& those, const DriveSet& drives) const {
    std::uint64_t free = 0, taken = 0;
    for (std::uint32_t d = 0; d < slots_.drives(); ++d) {
        free += drives[d] ? free_on(d) : 0;
        taken += those[d] ? taken_on(d) : 0;
    }
    return !own_slots() && free >= std::uint64_t{width_} * bands_free() + taken;
}

bool Columns::choose(BandId band, const DriveSet& drives) {
    const std::uint32_t others_free = bands_free() - 1;
    for (std::uint32_t columns = width_; columns >= k_; --columns) {
        const DriveSet chosen = roomiest(band, drives, columns);
        if (chosen.count() < columns) continue;
        if (columns > k_ && !leaves_room(drives, chosen, others_free, columns)) continue;
        give(band, chosen);
        return true;
    }
    return false;
}

bool Columns::has_slot(BandId band, std::uint32_t drive) const {
    return own_slots() ? !slots_.is_taken(drive, first_slot(band)) : free_on(drive) != 0;
}

std::uint32_t Columns::first_slot(BandId band) const {
    return kSuperblockUnits + band.value % band_slots_;
}

void Columns::give(BandId band, const DriveSet& drives) {
    std::uint32_t used = 0;
    for (std::uint32_t d = 0; d < slots_.drives(); ++d) {
        if (!drives[d]) continue;
        set(band, used++, {static_cast<std::uint8_t>(d), slots_.take_from(d, first_slot(band))});
    }
    end_columns(band, used);
    bands_free_.fetch_sub(1, std::memory_order_relaxed);
    changes_.fetch_add(1, std::memory_order_relaxed);
    if (used < width_) count_loss();
}

void Columns::count_loss() {
    losses_.fetch_add(1, std::memory_order_relaxed);
    changes_.fetch_add(1, std::memory_order_relaxed);
}

void Columns::end_columns(BandId band, std::uint32_t used) {
    for (std::uint32_t c = used; c < width_; ++c) set(band, c, {});
    set_rotation(band, used);
}

bool Columns::do_without(BandId band, const DriveSet& drives) {
    if ((this->drives(band) & ~drives).count() < k_) return false;
    std::uint32_t used = 0;
    for (std::uint32_t c = 0; c < width_; ++c) {
        const Column at = of(band, c);
        if (!at.there()) continue;
        if (drives[at.member])
            slots_.spoil(at.member, at.slot);
        else
            set(band, used++, at);
    }
    end_columns(band, used);
    count_loss();
    return true;
}

void Columns::release(BandId band, const DriveSet& erased) {
    for (std::uint32_t c = 0; c < width_; ++c) {
        const Column at = of(band, c);
        if (at.there()) slots_.give_back(at.member, at.slot, erased[at.member]);
    }
    bands_free_.fetch_add(1, std::memory_order_relaxed);
    changes_.fetch_add(1, std::memory_order_relaxed);
}

void Columns::drop(BandId band, std::uint32_t drive) {
    for (std::uint32_t c = 0; c < width_; ++c) {
        const Column at = of(band, c);
        if (!at.there() || at.member != drive) continue;
        slots_.give_back(at.member, at.slot, false);
        set(band, c, {});
        count_loss();
    }
}

Column Columns::move(BandId band, std::uint32_t column, Column to) {
    const Column from = of(band, column);
    set(band, column, to);
    if (from.there()) slots_.spoil(from.member, from.slot);
    return from;
}

void Columns::reuse(Column left) {
    slots_.forgive(left.member, left.slot);
    changes_.fetch_add(1, std::memory_order_relaxed);
}

// By free slots, as drives are chosen.
std::optional<std::uint32_t> Columns::too_full(BandId band, const DriveSet& drives) const {
    if (own_slots()) return std::nullopt;
    const std::uint32_t usual = std::max(2u, band_slots_ / 32);
    const DriveSet named = this->drives(band);
    std::optional<std::uint32_t> full, roomy;
    for (std::uint32_t d = 0; d < slots_.drives(); ++d) {
        if (!drives[d]) continue;
        std::optional<std::uint32_t>& best = named[d] ? full : roomy;
        const bool better =
            !best || (named[d] ? free_on(d) < free_on(*best) : free_on(d) > free_on(*best));
        if (better) best = d;
    }
    const bool uneven = full && roomy && free_on(*roomy) > free_on(*full) + usual;
    return uneven ? full : std::nullopt;
}

std::optional<std::uint32_t> Columns::drive_for_one(BandId band, const DriveSet& drives,
                                                    const DriveSet& others,
                                                    const DriveSet& draining) const {
    const DriveSet named = (this->drives(band) & ~draining) | others;
    if (named.count() >= width_) return std::nullopt;
    std::optional<std::uint32_t> most;
    for (std::uint32_t d = 0; d < slots_.drives(); ++d) {
        if (!drives[d] || draining[d] || named[d] || slots_.free_on(d) == 0) continue;
        if (!most || slots_.free_on(d) > slots_.free_on(*most)) most = d;
    }
    const auto with_it = static_cast<std::uint32_t>((named & drives).count()) + 1;
    if (most && !leaves_room(drives, DriveSet{}.set(*most), bands_free(), with_it)) most.reset();
    return most;
}

std::optional<Column> Columns::reserve(BandId band, const DriveSet& drives, const DriveSet& others,
                                       const DriveSet& draining) {
    const auto drive = drive_for_one(band, drives, others, draining);
    if (!drive || !has_slot(band, *drive)) return std::nullopt;
    return Column{static_cast<std::uint8_t>(*drive), slots_.take_from(*drive, first_slot(band))};
}

}  // namespace qlcshape
