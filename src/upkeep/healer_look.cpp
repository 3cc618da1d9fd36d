// SPDX-License-Identifier: Apache-2.0
// Which band is next, in the order that healer.h has.
#include <algorithm>
#include <utility>

#include "upkeep/healer.h"

namespace qlcshape {

// While a drive leaves nothing is begun: how many columns a band has is about to change.
bool Healer::look() {
    if (closing_ || gate_.failed() || array_.drive_leaves()) return false;
    if (refused_at_ && bands_.changes() - *refused_at_ < kChangesBeforeAgain) return false;
    refused_at_.reset();
    if (attempts_ != 0) {
        begin_band(columns_.band, true);
        return true;
    }
    const std::uint32_t left = left_, quiet_polls = quiet_polls_;
    const Look look = look_;
    if (const auto closed = narrow_that_closed()) {
        begin_band(*closed, true);
        return true;
    }
    if (const auto band = next_narrow()) begin_band(*band, look_ != Look::hardly_valid);
    if (look_ == Look::done && narrow_open_.empty() && std::exchange(any_rebuilt_, false))
        rounds_.fetch_add(1, std::memory_order_release);
    return left != left_ || look != look_ || quiet_polls != quiet_polls_;
}

std::optional<BandId> Healer::narrow_that_closed() {
    const std::uint64_t changes = bands_.changes();
    if (narrow_open_.empty() || open_seen_ == changes) return std::nullopt;
    const auto closed =
        std::ranges::find_if(narrow_open_, [this](BandId band) { return !bands_.is_open(band); });
    if (closed == narrow_open_.end()) {
        open_seen_ = changes;
        return std::nullopt;
    }
    const BandId band = *closed;
    narrow_open_.erase(closed);
    return array_.is_narrow(band) ? std::optional(band) : std::nullopt;
}

bool Healer::looks_again() {
    if (drives_seen_ != bands_.drives_came()) return true;
    if (look_ != Look::done) return false;
    return (skipped_ && ends_seen_ != bands_.ends()) || room_changed();
}

bool Healer::room_changed() {
    const Columns& columns = *array_.columns;
    const bool any_lacks = lacks_ || losses_seen_ != columns.losses();
    if (columns.own_slots() || !any_lacks) return false;
    const std::uint64_t changes = columns.changes(), bands = array_.layout.bands;
    if (changes - changes_seen_ > bands / kLooksPerChange) return true;
    if (gave_back_ && std::exchange(gave_back_seen_, changes) != changes) return true;
    if (changes == changes_seen_) return false;
    if (std::exchange(last_change_, changes) != changes) quiet_polls_ = 0;
    return ++quiet_polls_ > bands / kLooksPerPoll;
}

// Until all drives have about as many.
void Healer::next_look() {
    left_ = array_.layout.bands;
    if (look_ == Look::even && std::exchange(any_evened_, false)) return;
    look_ = static_cast<Look>(static_cast<int>(look_) + 1);
}

std::optional<BandId> Healer::next_narrow() {
    constexpr std::uint32_t kAtOnce = 4096;
    if (looks_again()) {
        drives_seen_ = bands_.drives_came();
        ends_seen_ = bands_.ends();
        losses_seen_ = array_.columns->losses();
        changes_seen_ = last_change_ = array_.columns->changes();
        quiet_polls_ = 0;
        skipped_ = lacks_ = gave_back_ = false;
        look_ = Look::hardly_valid;
        left_ = array_.layout.bands;
        narrow_open_.clear();
    }
    const DriveSet draining = array_.drives_draining();
    for (std::uint32_t n = 0; n < kAtOnce && look_ != Look::done; ++n) {
        if (left_ == 0) {
            next_look();
            continue;
        }
        const BandId band(--left_);
        if (look_ == Look::even) {
            const bool moves = array_.columns->too_full(band, array_.drives_in()).has_value();
            if (moves && !bands_.is_open(band)) return band;
            continue;
        }
        if (!array_.columns->lacks_one(band, draining)) continue;
        lacks_ = true;
        if (!array_.is_narrow(band)) continue;
        if (look_ == Look::no_parity && array_.columns_there(band) > array_.layout.p.data_strips)
            continue;
        if (!bands_.is_open(band)) return band;
        if (look_ == Look::hardly_valid && narrow_open_.size() < narrow_open_.capacity())
            narrow_open_.push_back(band);
    }
    return std::nullopt;
}

}  // namespace qlcshape
