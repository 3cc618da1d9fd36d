// SPDX-License-Identifier: Apache-2.0
// A drive that takes no writes leaves the array, which goes on without it. A QLC drive:
//
//   who                        what                               on media
//   committers, keeper         find that it refuses writes: they
//                              place, open and erase nothing
//   watch()                    ... and decides: it gets no new
//                              column from here on
//   write_superblock()         a superblock on all other drives   it is out, and since when
//   end_open()                 bands that name it end at what is  as it was: it has all that its
//                              durable in order                   columns say, and what is beyond
//                                                                 the frontiers counts nowhere
//   Device::set_out()          it gets no transfer any more, and
//                              counts as missing; everyone goes
//                              on, in bands that don't name it
//
// What is on the way to a band that ends is committed again, in another one, with the parity that
// is left. So the next opening finds what it finds where a drive was missing from the beginning,
// whenever the power goes; and takes the drive back, if it is there, as any that was out.
//
// An SCM drive leaves likewise, where each page of the table has a copy on another. What it does
// not take waits in the queue (IoQueue::wait_for_mirrors()), so acknowledgements, bands and
// snapshots wait, too; once it is out, the other drives have all of that. It is in again only after
// everything on it was written again, at the next opening (resilver()).
//
// A drive without which something could not be read any more never leaves: the array ends.
#include <functional>

#include "base/canary.h"
#include "engine/core.h"
#include "engine/ending.h"
#include "engine/limits.h"
#include "engine/monitor.h"
#include "meta/membership.h"

namespace qlcshape {

// Those that refuse writes, and those whose leaving is not yet durable.
MemberSet Core::leaving() const {
    MemberSet leaving;
    for (std::size_t i = 0; i < members_.size(); ++i)
        leaving[i] = members_[i].device != nullptr && members_[i].device->leaves();
    return leaving;
}

// It has all that the others have, and the superblock that is being written says that it is in.
bool Core::joins(std::size_t member) const {
    const MemberDevice& m = members_[member];
    return m.comes_in && m.device != nullptr && !m.device->leaves();
}

bool Core::can_go_on_without(const MemberSet& leaving) const {
    const std::uint32_t k = array_.layout.p.data_strips;
    DriveSet qlc;
    ScmSet scm;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const MemberRecord& m = members_[i].record;
        if (m.role == DeviceRole::qlc)
            qlc[m.index] = leaving[i] || superblock_.members[i].state == MemberState::out;
        else
            scm[m.index] = (array_.scm_in(m.index) || joins(i)) && !leaving[i];
    }
    const DriveSet stay = (array_.drives_in() | array_.drives_draining()) & ~qlc;
    bool enough = can_write_on(stay) && array_.layout.pmt_whole_on(scm);
    const auto see = [&](BandId band, bool) { enough &= array_.columns_there(band, qlc) >= k; };
    bands_->in_use(std::ref(see));  // which needs no memory
    return enough;
}

// Not where one that holds the lock is inside a transfer: it comes to the same decision.
void Core::look_at_drives() {
    if (read_only_) return;
    note_rebuilt();
    if (!array_.drive_leaves()) return;
    if (!control_mutex_.try_lock()) return;
    const Locked lock(control_mutex_, Locked::kHeld);
    const MemberSet who = leaving();
    if (failed() || gate_->failed() || !can_go_on_without(who)) return keep(who);
    begin_leaving(who);
    if (canary(Canary::left_before_record)) return finish_leaving();
    static_cast<void>(write_superblock());
}

// An image of a drive from before it got its columns lacks a superblock from now on.
void Core::note_rebuilt() {
    const std::uint64_t rounds = healer_->rounds();
    if (rounds == rounds_noted_ || !control_mutex_.try_lock()) return;
    const Locked lock(control_mutex_, Locked::kHeld);
    if (stopped_ || failed()) return;
    rounds_noted_ = rounds;
    if (!write_superblock() || narrow_bands() != 0) return;
    with_memory([&] {
        log(options_, LogLevel::info, "array {}: columns are rebuilt, or moved; no band lacks one",
            name());
    });
}

// Bitmap and band table, while closing: nothing else is under way. An scm drive that does not take
// them leaves, as it would have before.
Status Core::write_last_tables() {
    for (;;) {
        Status written = write_bitmap(array_, *bitmap_writer_, *control_);
        if (!written) bitmap_writer_->give_up();
        if (written) written = write_band_table(*keeper_);
        if (written) return {};
        const Io& by = control_->last_failed_write();
        MemberSet who = leaving();
        for (std::size_t i = 0; i < members_.size(); ++i) {
            const Device* const drive = members_[i].device.get();
            if (drive != nullptr && drive == by.device && drive->mirror() && !drive->out() &&
                !refused_by_system(by.error_number))
                who.set(i);
        }
        if (who.none() || !can_go_on_without(who)) return written;
        begin_leaving(who);
        QS_TRY(write_superblock());
    }
}

// What waits for them fails. Writing ends where it has not.
void Core::keep(const MemberSet& who) {
    for (std::size_t i = 0; i < members_.size(); ++i) {
        if (!who[i]) continue;
        if (!gate_->failed()) gate_->fail(members_[i].device->last_failed());
        members_[i].device->set_needed();
    }
    wake_workers();
}

// One that is out already is told to stay.
Result<MemberRecord> Core::fail_drive(const std::string& which) {
    const auto member = member_to_change(which);
    if (!member) return fail(member.error());
    const Locked lock(control_mutex_);
    QS_TRY(refuse_if_ending());
    if (replacing_ && replacing_->member == *member) {
        return fail(Errc::busy, "array {}: {} is being replaced, or comes back; wait for its end",
                    name(), which);
    }
    MemberRecord& m = superblock_.members[*member];
    if (m.kept_out == MemberRecord::kRemoved) return vacant(m);
    MemberSet who = leaving();
    who.set(*member);
    if (!can_go_on_without(who)) return cant_go(m);
    begin_leaving(who);
    m.kept_out = MemberRecord::kFailed;
    QS_TRY(write_superblock());
    const Locked shown(shown_mutex_);
    members_[*member].record.kept_out = m.kept_out;
    return m;
}

// The record with which it leaves is the newest that is known to be on it.
void Core::begin_leaving(const MemberSet& who) {
    for (std::size_t i = 0; i < members_.size(); ++i) {
        MemberRecord& m = superblock_.members[i];
        if (!who[i] || m.state == MemberState::out) continue;
        members_[i].device->set_leaving();
        if (members_[i].replaces) {
            m = *members_[i].replaces;
            continue;
        }
        goes_out(m, on_qlc_, superblock_.generation);
    }
    end_draining_if_needed();
}

// Afterwards the newest superblock is on every other drive.
void Core::finish_leaving() {
    MemberSet who;
    DriveSet qlc;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const MemberRecord& m = superblock_.members[i];
        const Device* const drive = members_[i].device.get();
        who[i] =
            m.state == MemberState::out && drive != nullptr && !drive->out() && drive->watched();
        if (who[i] && m.role == DeviceRole::qlc) qlc.set(m.index);
    }
    if (who.none()) return;
    if (!canary(Canary::left_band_goes_on))
        bands_->end_open([&](BandId band) { return (array_.columns->drives(band) & qlc).any(); });
    for (std::size_t i = 0; i < members_.size(); ++i) {
        if (who[i]) members_[i].device->set_out();
    }
    bands_->erase_again();
    gate_->start();  // GC makes up first for the bands that ended early
    wake_workers();
    for (std::size_t i = 0; i < members_.size(); ++i) {
        if (!who[i]) continue;
        const Device& drive = *members_[i].device;
        const MemberRecord& m = superblock_.members[i];
        const bool replaced = replacing_ && replacing_->parts && replacing_->member == i;
        const bool asked = replaced || m.kept_out != 0;
        with_memory([&] {
            const std::string last = drive.last_failure();
            log(options_, asked ? LogLevel::info : LogLevel::warning,
                "{}: {} drive {} is out: {}, and the array goes on without it{}{}", drive.path(),
                to_string(m.role), m.index,
                replaced                               ? "another is to take its place"
                : m.kept_out == MemberRecord::kRemoved ? "it was removed"
                : asked                                ? "it was taken out by `qlcshape fail`"
                : drive.given_up()                     ? "it does not answer"
                                                       : "it takes no writes",
                last.empty() ? "" : "; ", last);
        });
    }
}

}  // namespace qlcshape
