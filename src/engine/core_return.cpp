// SPDX-License-Identifier: Apache-2.0
// A drive that went out, or that was missing at the opening, comes back while the array is open. It
// has what it had when it left, and gets what it missed:
//
//   who                  what                                   a cut here, and the next opening
//   -------------------  -------------------------------------  --------------------------------
//   paths_to_return()    nothing of what it was told before is  as if nothing had been: it takes
//                        under way: the lock is let go          the drive back, or does without
//   begin_return()       it is that drive, and not older than   likewise
//                        when it left
//                        QLC: it is read, and bands that are    likewise
//                        freed are erased on it, too
//   keeper               QLC: what no band names on it is       likewise
//                        erased, since it may be of bands that
//                        were freed meanwhile
//                        SCM: it gets each write, and all that  likewise
//                        was written before (core_fill.cpp)
//   come_in()            a superblock says that it is in        it is in where an SCM drive has
//                                                               that, and out where none has
//                        QLC: bands that are opened have        as after any opening
//                        columns there, and those that lack
//                        one get it (upkeep/healer.h)
//
// The rest is as for a drive that is replaced: core_replace.cpp. Nothing that the drive kept may
// come to it after it was erased. So every worker has to begin a poll, from where on none tells it
// anything any more; then what each had begun has to end; and what nobody waits for any more keeps
// the drive's lock, which must have no other owner.
#include <algorithm>

#include "engine/core.h"
#include "engine/report.h"
#include "recovery/older_members.h"
#include "recovery/segment_scan.h"

namespace qlcshape {

namespace {

// Or what it was told may still come to it; or it is to stay out.
bool is_there(const MemberDevice& m) {
    return m.record.kept_out != 0 || (m.device != nullptr && !m.device->is_let_go());
}

}  // namespace

std::vector<Device*> Core::drives_out() const {
    const Locked lock(shown_mutex_);
    std::vector<Device*> out;
    const auto add = [&](Device* drive) {
        if (drive != nullptr && drive->out() && !drive->is_let_go()) out.push_back(drive);
    };
    for (const MemberDevice& m : members_) add(m.device.get());
    for (const auto& drive : former_) add(drive.get());
    return out;
}

void Core::LettingGo::begin(std::vector<Device*> out) {
    drives = std::move(out);
    polls.clear();
    begun.clear();
}

// A step with each call.
void Core::let_go_of_drives() {
    LettingGo& l = letting_go_;
    if (l.drives.empty()) return l.begin(drives_out());
    if (l.begun.empty()) {
        if (!everyone_polled(l.polls)) return;
        for (const auto& worker : workers_) l.begun.push_back(worker->queue().begun());
        return;
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        if (!workers_[i]->queue().ended(l.begun[i])) return;
    }
    readers_.look_at_late();
    const Locked lock(control_mutex_);  // so nothing of control_ is under way
    for (Device* drive : l.drives) {
        if (!drive->keeps_any()) drive->let_go();
    }
    l.begin({});
}

// Of those that were missing at the opening nobody knows which was where.
std::vector<std::string> Core::paths_to_return() {
    std::vector<std::string> paths;
    if (read_only_ || failed() || replaces_) return paths;
    let_go_of_drives();
    const Locked lock(shown_mutex_);
    if (std::ranges::all_of(members_, is_there)) return paths;
    for (const DeviceOptions& d : options_.devices) {
        const bool taken = std::ranges::any_of(members_, [&](const MemberDevice& m) {
            return is_there(m) && m.device != nullptr && m.device->path() == d.path;
        });
        if (!taken) paths.push_back(d.path);
    }
    for (const DeviceStatus& spare : spares_) {
        if (!spare.uuid.empty()) paths.push_back(spare.path);
    }
    return paths;
}

std::vector<Core::Lost> Core::lost_drives() const {
    const Locked lock(shown_mutex_);
    std::vector<Lost> lost;
    for (const MemberDevice* m : shown_members()) {
        if (m->record.kept_out == MemberRecord::kRemoved) continue;
        const bool failed = m->record.kept_out != 0;
        if (failed || m->device == nullptr || m->device->out())
            lost.push_back({m->record.uuid, m->record.role, m->record.index, failed});
    }
    return lost;
}

void Core::name_spares() {
    const Locked lock(shown_mutex_);
    for (const DeviceOptions& spare : options_.spares) spares_.push_back(spare_at(spare.path));
}

std::vector<DeviceStatus> Core::spares() const {
    const Locked lock(shown_mutex_);
    return spares_;
}

void Core::note_spare(const DeviceStatus& spare) {
    const Locked lock(shown_mutex_);
    const auto known = std::ranges::find(spares_, spare.path, &DeviceStatus::path);
    if (known != spares_.end()) *known = spare;
}

// A drive that is back may be an image of the time before it left: then the newest segments that it
// had are not on it.
Status Core::refuse_if_older(const ArrayContext& array, std::vector<BandRecord> records,
                             std::uint32_t drive, IoQueue& queue) const {
    for (std::uint32_t i = 0; i < records.size(); ++i) {
        if (!array.columns->drives(BandId(i))[drive]) records[i].state = BandState::free;
    }
    SegmentScan scan(array, queue);
    const auto looked = look_at_newest_segments(array, records, superblock_.epoch, scan, drive);
    return looked ? Status{} : fail(looked.error());
}

// What is on the way to a band that ended when the drive left is soon placed elsewhere.
bool Core::named_by_open(std::uint32_t drive) const {
    for (std::uint32_t i = 0; i < array_.layout.bands; ++i) {
        const BandId band(i);
        if (bands_->is_open(band) && array_.columns->drives(band)[drive]) return true;
    }
    return false;
}

// The others go on meanwhile: what bands were freed in that time tell nothing.
Status Core::refuse_if_older(const Returned& returned, IoQueue& queue) const {
    const std::uint32_t drive = returned.member.record.index;
    ArrayContext with = array_;
    with.qlc.set(drive, returned.member.device.get());
    with.columns = std::make_shared<Columns>(*array_.columns);
    const auto now = [this] {
        std::vector<BandRecord> records;
        for (std::uint32_t i = 0; i < array_.layout.bands; ++i)
            records.push_back(bands_->record_of(BandId(i)));
        return records;
    };
    const std::vector<BandRecord> before = now();
    QS_TRY(refuse_if_older(with, before, drive, queue));
    const std::vector<BandRecord> after = now();
    for (std::uint32_t i = 0; i < before.size(); ++i) {
        const BandId band(i);
        const bool counted = before[i].counts() && with.columns->drives(band)[drive];
        bool moved = false;
        for (std::uint32_t c = 0; c < array_.layout.width(); ++c)
            moved |= !(with.columns->of(band, c) == array_.columns->of(band, c));
        const bool same = after[i].sequence == before[i].sequence && after[i].counts() && !moved;
        if (counted && !same) {
            return fail(Errc::busy, "{}: bands were freed or moved while it was looked at",
                        returned.member.device->path());
        }
    }
    return {};
}

// Nobody else sees it yet.
Result<MemberDevice> Core::know_again(std::unique_ptr<Device> again, IoQueue& queue) {
    const std::string path = again->path();
    Superblock now;
    {
        const Locked lock(control_mutex_);
        QS_TRY(refuse_if_ending());
        now = superblock_;
    }
    auto returned = see_returned(std::move(again), now, queue);
    if (!returned) return fail(returned.error());
    MemberDevice& m = returned->member;
    if (m.record.role == DeviceRole::qlc) {
        if (named_by_open(m.record.index))
            return fail(Errc::busy, "{}: bands that were open when it left have not ended", path);
        QS_TRY(refuse_if_older(*returned, queue));
        place_guard(m);
    }
    const Locked lock(control_mutex_);
    QS_TRY(refuse_if_stopped());
    const MemberRecord* const is = find_member(superblock_, m.record.uuid);
    if (is == nullptr || is->state != MemberState::out)
        return fail(Errc::busy, "{}: the array has changed meanwhile", path);
    superblock_.generation = std::max(superblock_.generation, returned->generation);
    return std::move(m);
}

Status Core::begin_return(std::unique_ptr<Device> again) {
    return begin_replacing(again->path(), [&]() -> Status {
        const auto queue = make_queue({}, IoQueue::Late::copied);
        auto known = know_again(std::move(again), *queue);
        if (!known) return fail(known.error());
        const auto same = std::ranges::find(members_, known->record.uuid,
                                            [](const MemberDevice& m) { return m.record.uuid; });
        auto r = std::make_unique<Replacing>();
        r->member = static_cast<std::size_t>(same - members_.begin());
        r->fresh = std::move(*known);
        r->returns = true;
        const Locked lock(control_mutex_);
        if (superblock_.members[r->member].kept_out != 0)  // since a moment ago
            return fail(kept_out(r->fresh.device->path(), superblock_.members[r->member]).why);
        show_replacing(std::move(r));
        if (replacing_->scm())
            begin_coming();
        else
            begin_coming_back();
        wake_workers();
        return {};
    });
}

void Core::begin_coming_back() {
    Device& drive = *replacing_->fresh.device;
    const std::uint32_t index = replacing_->fresh.record.index;
    follow_former(drive);
    drive.set_returning();
    array_.qlc.set(index, &drive);
    keeper_->bring_back(index);
}

// It is no member, and nobody uses it any more.
void Core::give_up_returning() {
    const MemberDevice& left = replacing_->fresh;
    left.device->set_out();
    array_.qlc.set(left.record.index, members_[replacing_->member].device.get());
    bands_->erase_again();
    wake_workers();
}

}  // namespace qlcshape
