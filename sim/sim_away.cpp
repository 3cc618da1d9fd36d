// SPDX-License-Identifier: Apache-2.0
// Drives that are away for some openings, and back for others: the array is written without
// them. The power is cut in all of it, so an opening that takes a drive out, or in again, may come
// through in part. Away drives are judged like the others (sim_redundancy.cpp): what names them
// must be right on them.
#include <algorithm>
#include <utility>

#include "engine/replace.h"
#include "sim/sim_history.h"
#include "sim/still_device.h"

namespace qlcshape::sim {

// Whether every band that counts has as many columns on the other drives as it has data strips. An
// SCM drive that may lack what the other has may have more, too: what it was given last.
bool History::readable_without(const std::set<std::size_t>& lost) const {
    return readable_by(current(), lost) && readable_by(media_, lost);
}

bool History::readable_by(const std::vector<Media*>& drives,
                          const std::set<std::size_t>& lost) const {
    const ArrayLayout& l = world_.faults().layout();
    const StripeTruth truth(l, drives);
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

// All but an SCM drive that may lack what the other has.
std::vector<Media*> History::current() const {
    std::vector<Media*> current = media_;
    std::erase(current, behind_);
    return current;
}

// One that is out, or was about to go out.
void History::note_behind() {
    const std::size_t first = qlc_drives();
    for (std::size_t i = 0; i < 2; ++i) {
        const Device* const drive = core_->array().scm[i];
        const bool about_to =
            !world_.dead() && media_[first + i]->weak && drive != nullptr && drive->leaves();
        if (!core_->array().scm_in(i) || about_to) behind_ = media_[first + i];
    }
}

// After a crash the drives may say that it is not out: then it has all that was acknowledged, and
// the other one may go. Unless it was about to: then an opening without the other one is refused.
void History::look_who_is_behind() {
    if (!crashed_ || behind_ == nullptr) return;
    IoQueue q;
    const auto discovery = discover(still_devices(media_), {}, q);
    if (!discovery || context_of(*discovery).scm_in_count() != 2) return;
    tried_ = std::exchange(behind_, nullptr);
}

// One at a time, until it has been filled again; and not the one that keeps what it is told.
Media* History::scm_to_lose() {
    if (behind_ != nullptr || away_scm_ != nullptr) return behind_ != nullptr ? behind_ : away_scm_;
    Media* const first = media_[qlc_drives()];
    Media* const second = media_[qlc_drives() + 1];
    if (first->weak != second->weak) return first->weak ? first : second;
    return away_random_.chance(1, 2) ? first : second;
}

std::size_t History::number_of(const Media* media) const {
    return static_cast<std::size_t>(std::ranges::find(media_, media) - media_.begin());
}

// Drives go, and others come back, in any order.
void History::away_episode() {
    if (!goes_away() || !away_random_.chance(1, 2)) return;
    look_who_is_behind();
    away_.clear();
    for (std::uint64_t n = away_random_.below(3); n != 0; --n)
        away_.insert(away_random_.below(qlc_drives()));
    away_scm_ = away_random_.chance(1, 4) && !fresh_unheard_ ? scm_to_lose() : nullptr;
    if (crashed_ || !away_random_.chance(1, 4)) return;
    away_random_.chance(1, 3) ? replace_scm() : replace_episode();
}

// An empty drive takes the place of one that is away, or of any other, after a clean close.
void History::replace_episode() {
    const std::size_t drive = away_.empty() || away_random_.chance(1, 2)
                                  ? away_random_.below(qlc_drives())
                                  : *away_.begin();
    std::set<std::size_t> lost = away_;
    lost.insert(drive);
    const bool readable = readable_without(lost);
    const bool possible = lost.size() <= 2 && readable && !may_be_split(lost);
    const auto replaced = replace(drive, lost);
    if (replaced) {
        if (!readable || replaced->index != drive) violate("a drive was replaced that was needed");
        away_.erase(drive);
        removed_.erase(drive);
        ++result_.drives_replaced;
        return;
    }
    const bool busy = replaced.error().code == Errc::busy;
    if (possible && !busy) violate("replace: " + replaced.error().message);
}

void History::replace_scm() {
    Media* const media = scm_to_lose();
    away_scm_ = nullptr;
    const std::size_t drive = number_of(media);
    const bool possible = readable_without(away_) && away_.size() < options_.data_strips;
    behind_ = media;
    const auto replaced = replace(drive, {drive});
    if (replaced) {
        behind_ = nullptr;
        ++result_.scm_replaced;
        return;
    }
    const bool busy = replaced.error().code == Errc::busy;
    if (possible && !busy) violate("replace: " + replaced.error().message);
}

// With k = 2 an SCM drive and two QLC drives that are away might go on by themselves.
bool History::may_be_split(const std::set<std::size_t>& lost) const {
    return away_scm_ != nullptr && lost.size() >= options_.data_strips;
}

// What was on the drive stays on it where it fails.
Result<MemberRecord> History::replace(std::size_t drive, const std::set<std::size_t>& lost) {
    world_.power_on();
    Media& media = *media_[drive];
    const std::vector<std::byte> before(media.bytes.get(), media.bytes.get() + media.capacity());
    Replacement replacement;
    replacement.role = media.qlc ? DeviceRole::qlc : DeviceRole::scm;
    lost_ = {drive};
    replacement.devices = devices();
    lost_.clear();
    if (lost.size() != 1 || !removed_.empty()) {  // more than one is missing: it has to be named
        IoQueue q;
        std::vector<std::unique_ptr<Device>> one;
        one.push_back(std::make_unique<StillDevice>(media));
        const auto seen = see_superblocks(one, q);
        if (!seen[0]) return fail(Errc::busy, "nobody knows which drive it is");
        replacement.old = seen[0]->device;
    }
    const auto cache = std::exchange(media.cache, {});
    const auto damage = std::exchange(media.damage, {});
    const auto zones = media.zones;
    std::fill_n(media.bytes.get(), media.capacity(), std::byte{0});
    replacement.fresh = world_.device(media);
    const auto q = queue();
    auto replaced = replace_drive(std::move(replacement), rng_, *q);
    if (replaced) return replaced;
    std::ranges::copy(before, media.bytes.get());
    media.cache = cache;
    media.damage = damage;
    media.zones = zones;
    return replaced;
}

std::set<std::size_t> History::not_written() const {
    std::set<std::size_t> lost = away_;
    if (fresh_ != nullptr && fresh_->qlc) lost.insert(fresh_for_);
    for (const std::size_t drive : mended_) {
        if (media_[drive]->qlc) lost.insert(drive);
    }
    for (std::size_t d = 0; d < qlc_drives(); ++d) {
        if (!media_[d]->writes()) lost.insert(d);
    }
    for (const std::size_t drive : removed_) lost.erase(drive);
    return lost;
}

void History::make_leave(Media& media) {
    if (!world_.silenced() && silence_random_.chance(1, 3)) return silence(media);
    if (away_random_.chance(1, 2))
        media.refuses_writes = true;
    else
        world_.take_away(media);
}

// While the array is open, or is being opened: nothing but redundancy is lost by it.
void History::drive_leaves() {
    std::set<std::size_t> lost = not_written();
    const std::size_t drive = away_random_.below(qlc_drives());
    if (!lost.insert(drive).second || lost.size() > 2 || !readable_without(lost)) return;
    make_leave(*media_[drive]);
    ++result_.drives_left;
}

// An SCM drive, at any time: the other one goes on.
void History::scm_leaves() {
    Media* const media = scm_to_lose();
    if (may_be_split(not_written()) || !media->writes() || fresh_unheard_) return;
    behind_ = media;
    make_leave(*media);
    ++result_.scm_left;
}

// Refused, and rightly: what was written while others were away can't be read without these.
bool History::must_come_back(const Error& error) {
    const std::set<std::size_t> lost = not_written();
    if (error.code != Errc::missing_device || (lost.empty() && away_scm_ == nullptr)) return false;
    const auto says = [&](const char* what) {
        return error.message.find(what) != std::string::npos;
    };
    const bool unreadable = says("strips that its data takes") && !readable_without(lost);
    const bool split = says("may have gone on by itself") && behind_ != nullptr &&
                       lost.size() >= options_.data_strips;
    const bool tried = says("newest writes is needed") && tried_ != nullptr && tried_ != away_scm_;
    if (!unreadable && !split && !tried) return false;
    if (tried) behind_ = tried_;
    ++result_.refused;
    away_.clear();
    away_scm_ = nullptr;
    if (world_.silenced()) world_.answer();
    for (Media* m : media_) m->gone = m->refuses_writes = m->silent = false;
    return true;
}

}  // namespace qlcshape::sim
