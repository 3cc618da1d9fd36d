// SPDX-License-Identifier: Apache-2.0
// The scrub. In every fourth history passes go on while there is load, through cuts and drives that
// leave; and at the end of an opening one pass is judged: what was closed when it began is whole.
#include <fmt/format.h>

#include "sim/sim_history.h"

namespace qlcshape::sim {

void History::scrub_in_load() {
    if (!scrubs_ || !scrub_random_.chance(1, 2)) return;
    if (!core_->start_scrub(0) && !core_->failed()) violate("the scrub can't be started");
}

// From where it is, all the way round. False if that is not known to have come to its end.
bool History::scrub_all() {
    static_cast<void>(core_->stop_scrub());
    if (!core_->start_scrub(0)) return false;
    for (std::uint64_t i = 0; i % 64 != 0 || core_->stats().scrub.state == "asked"; ++i) {
        poll_something();
        if (world_.dead() || core_->failed() || !result_.violation.empty()) return false;
        if (i > 20'000'000) return !violate("a pass of the scrub never ends");
    }
    return core_->bands().out_of_use() == 0 && core_->bands().unmended() == 0;
}

// A strip of a weak drive.
void History::spoil_one(BandId band) {
    const ArrayLayout& l = world_.faults().layout();
    if (!world_.faults().media_faults()) return;
    const auto segment = static_cast<std::uint32_t>(scrub_random_.below(l.segments_per_band));
    const auto role = static_cast<std::uint32_t>(scrub_random_.below(l.width()));
    const Location place = core_->array().locate(band, segment, role);
    if (place.there() && weak_qlc_.contains(place.drive))
        spoil_strip(*media_[place.drive], place.offset);
}

// Nothing is injected meanwhile. What a drive lacks that is out, or reads nothing, is none of the
// scrub's business.
void History::scrub_episode() {
    if (!scrubs_ || world_.dead() || core_->failed() || world_.silenced()) return;
    world_.faults().rest();
    std::set<std::uint64_t> closed;  // sequences
    std::vector<BandId> bands;
    core_->bands().candidates([&](const Candidate& c) {
        closed.insert(c.sequence);
        bands.push_back(c.band);
    });
    for (std::uint64_t n = bands.empty() ? 0 : scrub_random_.below(4); n != 0; --n)
        spoil_one(bands[scrub_random_.below(bands.size())]);
    const std::uint64_t before = core_->stats().scrub.strips_wrong;
    if (!scrub_all()) return;
    ++result_.scrubs;
    result_.strips_scrubbed += core_->stats().scrub.strips_wrong - before;
    // One that GC moves is passed, since its contents are on their way elsewhere.
    std::set<std::uint64_t> passed;
    core_->bands().candidates([&](const Candidate& c) { passed.insert(c.sequence); });
    const StripeTruth truth(world_.faults().layout(), current());
    for (const BandTruth& band : truth.bands()) {
        if (!closed.contains(band.sequence) || !passed.contains(band.sequence)) continue;
        for (std::uint32_t s = 0; s < band.segments; ++s) judge_scrubbed(truth, band, s);
    }
}

void History::judge_scrubbed(const StripeTruth& truth, const BandTruth& band,
                             std::uint32_t segment) {
    const SegmentTruth found = truth.look(band, segment);
    if (found.lost && !blocks_lost_)
        violate(fmt::format("band {} segment {} is lost", band.band.value, segment));
    for (const std::uint32_t role : found.wrong) {
        const Location place = truth.locate(band.band, segment, role);
        const Device* const drive = core_->array().drive_at(place);
        if (drive == nullptr || drive->silent()) continue;
        violate(
            fmt::format("the scrub has passed band {}, and the strip of its segment {} on {} "
                        "is wrong",
                        band.band.value, segment, drive->path()));
    }
}

}  // namespace qlcshape::sim
