// SPDX-License-Identifier: Apache-2.0
// Whether all that counts is fully redundant: after a crash, after the recovery, after a clean
// close. What StripeTruth finds wrong must be where a fault was injected, and `check` must report
// the same strips, no more and no fewer.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "recovery/check.h"
#include "sim/sim_history.h"
#include "sim/still_device.h"

namespace qlcshape::sim {

// Before a recovery: which segments it has to take as they are. All others that count afterwards
// it has looked at, so damage that they have had since before excuses nothing.
void History::note_settled() {
    const StripeTruth truth(world_.faults().layout(), current());
    settled_.clear();
    settled_damage_ = world_.faults().counts().damaged;
    for (const BandTruth& band : truth.bands()) {
        for (std::uint32_t s = 0; band.epoch <= truth.epoch() && s < band.segments; ++s)
            settled_.emplace(band.sequence, s);
    }
}

// Recovery has no room to write some of the newest segments again, and says so.
void History::note_unmended(const std::string& message) {
    unsigned number = 0, from = 0, to = 0;
    if (std::sscanf(message.c_str(), "band %u: some of segments %u to %u lack a strip", &number,
                    &from, &to) != 3)
        return;
    for (const BandTruth& band : StripeTruth(world_.faults().layout(), current()).bands()) {
        for (std::uint32_t s = from; band.band.value == number && s <= to; ++s)
            unmended_.emplace(band.sequence, s);
    }
}

// Strips that were written when the power went may be unreadable, or rot, on weak drives: of
// segments beyond the frontiers, which recovery has to look at.
void History::spoil_tail() {
    if (!world_.faults().media_faults() || weak_qlc_.empty()) return;
    const bool always = world_.faults().profile() == Profile::media;  // rare harm shows in it
    if (!always && !tail_random_.chance(1, 3)) return;
    const ArrayLayout& l = world_.faults().layout();
    const StripeTruth truth(l, current());
    for (const BandTruth& band : truth.bands()) {
        for (std::uint32_t s = band.segments; band.open && s < l.segments_per_band; ++s) {
            if (!truth.has_header(band, s)) continue;
            for (std::uint32_t role = 0; role < l.width(); ++role) {
                const Location place = truth.locate(band.band, s, role);
                if (weak_qlc_.contains(place.drive) && (always || tail_random_.chance(1, 2)))
                    spoil_strip(*media_[place.drive], place.offset);
            }
        }
    }
}

void History::spoil_strip(Media& m, std::uint64_t offset) {
    const std::uint64_t at =
        offset + tail_random_.below(world_.faults().layout().strip_blocks()) * kBlockBytes;
    const Fault fault = tail_random_.chance(2, 3) ? Fault::unreadable : Fault::bit_rot;
    if (fault == Fault::bit_rot) m.rot(at, tail_random_);
    m.note_damage(at, kBlockBytes, fault, world_.faults().counts());
}

// `report`: what `check` says, where it was asked.
void History::judge_redundancy(Moment moment, const CheckReport* report) {
    // Nobody knows what is left.
    if (damaged_ || older_ || errors_ || !result_.violation.empty()) return;
    // What was right before is not looked at each time: that would take most of the time.
    const bool all = report != nullptr || ++judgements_ % 4 == 0;
    const StripeTruth truth(world_.faults().layout(), current());
    const std::uint32_t width = world_.faults().layout().width();
    std::set<std::string> wrong;
    for (const BandTruth& band : truth.bands()) {
        for (std::uint32_t role = 0; band.epoch <= truth.epoch() && role < width; ++role) {
            const Location place = truth.locate(band.band, 0, role);
            if (place.there() && removed_.contains(place.drive))
                violate(fmt::format("band {} names a drive that was removed", band.band.value));
        }
        for (std::uint32_t segment = 0; segment < band.segments; ++segment) {
            const std::pair id{band.sequence, segment};
            if (!all && seen_right_.contains(id)) continue;
            const SegmentTruth found = truth.look(band, segment);
            if (found.right()) seen_right_.insert(id);
            ++result_.stripes_judged;
            const bool proved = moment == Moment::recovered && !settled_.contains(id);
            if (band.epoch <= truth.epoch()) judge_segment(truth, band, segment, found, proved);
            if (segment < band.in_table) name_wrong(truth, band.band, segment, found, wrong);
        }
    }
    if (report != nullptr)
        compare(*report, std::move(wrong));
    else if (all)
        compare_with_check(std::move(wrong));
}

void History::judge_segment(const StripeTruth& truth, const BandTruth& band, std::uint32_t segment,
                            const SegmentTruth& found, bool proved) {
    const ArrayLayout& l = world_.faults().layout();
    if (found.lost) {
        if (!blocks_lost_)
            violate(fmt::format("band {} segment {} is lost", band.band.value, segment));
        return;
    }
    if (unmended_.contains({band.sequence, segment})) return;
    for (const std::uint32_t role : found.wrong) {
        const Location place = truth.locate(band.band, segment, role);
        const Media& m = *media_[place.drive];
        if (m.damaged(place.offset, l.p.strip_bytes, proved ? settled_damage_ : 0)) continue;
        violate(
            fmt::format("band {} segment {} counts{}, and lacks redundancy: its strip on {} is "
                        "wrong",
                        band.band.value, segment, proved ? " since the recovery" : "", m.name));
    }
}

// As `check` says it.
void History::name_wrong(const StripeTruth& truth, BandId band, std::uint32_t segment,
                         const SegmentTruth& found, std::set<std::string>& wrong) const {
    if (found.lost) {
        wrong.insert(fmt::format("band {} segment {}: more is damaged than P and Q can reconstruct",
                                 band.value, segment));
    }
    for (const std::uint32_t role : found.wrong) {
        const Location place = truth.locate(band, segment, role);
        wrong.insert(
            fmt::format("{} at offset {}: the strip of band {} segment {} is not what was written; "
                        "it can be rebuilt",
                        media_[place.drive]->name, place.offset, band.value, segment));
    }
}

void History::compare_with_check(std::set<std::string> wrong) {
    IoQueue q;
    auto discovery = discover(still_devices(media_), {}, q);
    if (!discovery) return void(violate("discover: " + discovery.error().message));
    const auto report = check_array(context_of(*discovery), discovery->superblock, q, {});
    if (!report) return void(violate("check: " + report.error().message));
    compare(*report, std::move(wrong));
}

void History::compare(const CheckReport& report, std::set<std::string> wrong) {
    for (const std::string& problem : report.problems) {
        const bool of_stripes = problem.ends_with("it can be rebuilt") ||
                                problem.ends_with("more is damaged than P and Q can reconstruct");
        if (of_stripes && wrong.erase(problem) == 0)
            violate("check reports what is right: " + problem);
    }
    const bool all_named = report.problems.size() == report.problems_found;
    if (!wrong.empty() && all_named) violate("check does not report: " + *wrong.begin());
}

}  // namespace qlcshape::sim
