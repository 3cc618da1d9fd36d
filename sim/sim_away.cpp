// SPDX-License-Identifier: Apache-2.0
// QLC drives that are away for some openings, and back for others: the array is written without
// them. The power is cut in all of it, so an opening that takes a drive out, or in again, may come
// through in part. Away drives are judged like the others (sim_redundancy.cpp): what names them
// must be right on them.
#include <algorithm>
#include <utility>

#include "engine/replace.h"
#include "sim/sim_history.h"
#include "sim/still_device.h"

namespace qlcshape::sim {

// Whether every band that counts has as many columns on the other drives as it has data strips.
bool History::readable_without(const std::set<std::size_t>& lost) const {
    const ArrayLayout& l = world_.faults().layout();
    const StripeTruth truth(l, media_);
    for (const BandTruth& band : truth.bands()) {
        std::uint32_t there = 0;
        for (std::uint32_t role = 0; role < l.width(); ++role) {
            const Location place = truth.locate(band.band, 0, role);
            there += place.there() && !lost.contains(place.drive) ? 1 : 0;
        }
        if (band.epoch <= truth.epoch() && there < l.p.data_strips) return false;
    }
    return true;
}

// Drives go, and others come back, in any order.
void History::away_episode() {
    if (!goes_away() || !away_random_.chance(1, 2)) return;
    away_.clear();
    for (std::uint64_t n = away_random_.below(3); n != 0; --n)
        away_.insert(away_random_.below(options_.data_strips + 2));
    if (!crashed_ && away_random_.chance(1, 4)) replace_episode();
}

// An empty drive takes the place of one that is away, or of any other, after a clean close.
void History::replace_episode() {
    const std::size_t drive = away_.empty() || away_random_.chance(1, 2)
                                  ? away_random_.below(options_.data_strips + 2)
                                  : *away_.begin();
    std::set<std::size_t> lost = away_;
    lost.insert(drive);
    const bool possible = lost.size() <= 2 && readable_without(lost);
    world_.power_on();
    Media& media = *media_[drive];
    const std::vector<std::byte> before(media.bytes.get(), media.bytes.get() + media.capacity());
    Replacement replacement;
    lost_ = {drive};
    replacement.devices = devices();
    lost_.clear();
    if (lost.size() != 1) {  // more than one is missing: it has to be named
        IoQueue q;
        std::vector<std::unique_ptr<Device>> one;
        one.push_back(std::make_unique<StillDevice>(media));
        const auto seen = see_superblocks(one, q);
        if (!seen[0]) return;
        replacement.old = seen[0]->device;
    }
    const auto cache = std::exchange(media.cache, {});
    const auto damage = std::exchange(media.damage, {});
    const auto zones = media.zones;
    std::fill_n(media.bytes.get(), media.capacity(), std::byte{0});
    replacement.fresh = world_.device(media);
    const auto q = queue();
    const auto replaced = replace_drive(std::move(replacement), rng_, *q);
    if (replaced) {
        if (!possible || *replaced != drive) violate("a drive was replaced that was needed");
        away_.erase(drive);
        ++result_.drives_replaced;
        return;
    }
    std::ranges::copy(before, media.bytes.get());
    media.cache = cache;
    media.damage = damage;
    media.zones = zones;
    const bool busy = replaced.error().code == Errc::busy;
    if (possible && !busy) violate("replace: " + replaced.error().message);
}

std::set<std::size_t> History::not_written() const {
    std::set<std::size_t> lost = away_;
    for (std::size_t d = 0; d < options_.data_strips + 2; ++d) {
        if (media_[d]->gone || media_[d]->refuses_writes) lost.insert(d);
    }
    return lost;
}

// While the array is open, or is being opened: nothing but redundancy is lost by it.
void History::drive_leaves() {
    std::set<std::size_t> lost = not_written();
    const std::size_t drive = away_random_.below(options_.data_strips + 2);
    if (!lost.insert(drive).second || lost.size() > 2 || !readable_without(lost)) return;
    if (away_random_.chance(1, 2))
        media_[drive]->refuses_writes = true;
    else
        world_.take_away(*media_[drive]);
    ++result_.drives_left;
}

// Refused, and rightly: what was written while others were away can't be read without these.
bool History::must_come_back(const Error& error) {
    const std::set<std::size_t> lost = not_written();
    if (error.code != Errc::missing_device || lost.empty() ||
        error.message.find("was written while other drives were missing") == std::string::npos)
        return false;
    if (readable_without(lost)) return false;
    ++result_.refused;
    away_.clear();
    for (Media* m : media_) m->gone = m->refuses_writes = false;
    return true;
}

}  // namespace qlcshape::sim
