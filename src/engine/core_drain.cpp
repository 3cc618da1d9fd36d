// SPDX-License-Identifier: Apache-2.0
// A QLC drive is to leave while it is well, and nothing is to lack protection meanwhile. Where
// there are more drives than a band has columns, and room:
//
//   who              what                                        a cut here, and the next opening
//   ---------------  ------------------------------------------  --------------------------------
//   drain_drive()    a superblock says that it drains            as if nothing had been, or:
//                    it gets no new columns; open bands that     it goes on
//                    have one there end
//   healer           each column there is written to another     it goes on with the columns that
//                    drive; then the band's record names that    are there
//   remove_drive()   no band has a column there: a superblock    it is there, and drains; or it is
//                    says that it was removed                    out, and nothing is missed
//
// Until it is removed it counts as any other drive; and where others go meanwhile, and bands could
// not have all their columns without it, it is drained no more.
#include "base/canary.h"
#include "engine/core.h"
#include "engine/limits.h"
#include "engine/monitor.h"

namespace qlcshape {

namespace {

std::unexpected<Error> not_qlc(const MemberRecord& m) {
    return fail(Errc::invalid_argument,
                "scm drive {}: only qlc drives can be drained and removed; replace it", m.index);
}

}  // namespace

std::unexpected<Error> Core::vacant(const MemberRecord& m) {
    return fail(Errc::not_found, "qlc drive {}: it was removed; its place is vacant", m.index);
}

// Those that drain already have room elsewhere, too.
Status Core::check_room_without(const MemberRecord& m) const {
    DriveSet others = array_.drives_in();
    others.reset(m.index);
    if (others_are_enough(others)) return {};
    return fail(
        Errc::no_space,
        "array {}: without qlc drive {} there are {} others that are in, which have no room "
        "for what all {} had (it was created with spare_drives = {}); replace it instead",
        name(), m.index, others.count(), array_.layout.p.qlc_count, array_.layout.p.spare_drives);
}

// Of a drive that is out, too: so that it does not drain when it is back.
Status Core::check_draining(const MemberRecord& m, bool stop) const {
    QS_TRY(refuse_if_ending());
    if (m.role != DeviceRole::qlc) return not_qlc(m);
    if (m.kept_out == MemberRecord::kRemoved) return vacant(m);
    if (stop || m.drains != 0) return {};
    if (m.state == MemberState::in) return check_room_without(m);
    return fail(Errc::missing_device,
                "array {}: qlc drive {} is out: nothing can be moved from it; replace it", name(),
                m.index);
}

// The device first: where another one refuses the superblock it is seen who drains.
Result<MemberRecord> Core::drain_drive(const std::string& which, bool stop) {
    const auto member = member_to_change(which);
    if (!member) return fail(member.error());
    const Locked lock(control_mutex_);
    MemberRecord& m = superblock_.members[*member];
    QS_TRY(check_draining(m, stop));
    const std::uint8_t drains = stop ? 0 : 1, before = m.drains;
    if (before == drains) return m;
    const auto set = [&](std::uint8_t now) {
        m.drains = now;
        if (m.state == MemberState::out) return;
        Device& drive = *members_[*member].device;
        now != 0 ? drive.set_draining() : drive.set_in();
    };
    set(drains);
    const Status written = write_superblock();
    if (!written) set(before);
    QS_TRY(written);
    {
        const Locked shown(shown_mutex_);
        members_[*member].record.drains = m.drains;
    }
    if (!stop && m.state == MemberState::out)
        return fail(Errc::io_error, "array {}: qlc drive {} has left just now", name(), m.index);
    if (m.drains != drains)
        return fail(Errc::no_space, "array {}: another drive has left just now; replace that first",
                    name());
    if (!stop) {
        bands_->end_open([&](BandId band) { return array_.columns->drives(band).test(m.index); });
        gate_->start();  // GC makes up first for the bands that ended early
        bands_->drive_came();
    }
    begin_rebuild();
    wake_workers();
    return m;
}

bool Core::can_write_on(const DriveSet& drives) const {
    return drives.count() >= array_.layout.p.data_strips && array_.columns->free_bands_fit(drives);
}

// Whether they have room for all columns of all bands, and for those that are opened next.
bool Core::others_are_enough(const DriveSet& others) const {
    return array_.columns->are_enough(others.count()) && can_write_on(others);
}

// Under control_mutex_, or while opening: before a superblock that tells it.
void Core::end_draining_if_needed() {
    const DriveSet draining = array_.drives_draining();
    if (draining.none() || others_are_enough(array_.drives_in())) return;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        MemberRecord& m = superblock_.members[i];
        if (m.role != DeviceRole::qlc || !draining[m.index]) continue;
        m.drains = 0;
        {
            const Locked shown(shown_mutex_);
            members_[i].record.drains = 0;
        }
        members_[i].device->set_in();
        with_memory([&] {
            log(options_, LogLevel::warning,
                "qlc drive {} is drained no more: without it the other drives are too few, or have "
                "no room",
                m.index);
        });
    }
}

Result<MemberRecord> Core::remove_drive(const std::string& which) {
    const auto member = member_to_change(which);
    if (!member) return fail(member.error());
    const Locked lock(control_mutex_);
    QS_TRY(refuse_if_ending());
    MemberRecord& m = superblock_.members[*member];
    if (m.role != DeviceRole::qlc) return not_qlc(m);
    if (m.kept_out == MemberRecord::kRemoved) return m;
    if (replaces_) {
        return fail(Errc::busy,
                    "array {}: a drive is being replaced, comes back, or is given up for good; "
                    "wait for its end",
                    name());
    }
    const bool in = m.state == MemberState::in;
    if (in && m.drains == 0) {
        return fail(Errc::busy,
                    "array {}: qlc drive {} is in use: drain it first (`qlcshape drain`)", name(),
                    m.index);
    }
    const std::uint32_t bands = array_.columns->taken_on(m.index);
    if (bands != 0 && !canary(Canary::removed_with_bands)) {
        return fail(Errc::busy, "array {}: {} bands have a part of their data on qlc drive {}: {}",
                    name(), bands, m.index,
                    in ? "wait until `qlcshape status` says that it can be removed (jobs)"
                       : "it has to come back, or be replaced, or what it had be rebuilt on the "
                         "other drives");
    }
    if (!array_.columns->are_enough(array_.drives_in().count())) {
        return fail(Errc::no_space,
                    "array {}: {} qlc drives are in, which have no room for all columns of all "
                    "bands: replace qlc drive {} instead",
                    name(), array_.drives_in().count(), m.index);
    }
    MemberSet who = leaving();
    if (in) who.set(*member);
    if (!can_go_on_without(who)) return cant_go(m);
    begin_leaving(who);
    m.kept_out = MemberRecord::kRemoved;
    m.drains = 0;
    QS_TRY(write_superblock());
    const Locked shown(shown_mutex_);
    members_[*member].record.kept_out = m.kept_out;
    members_[*member].record.drains = 0;
    return m;
}

}  // namespace qlcshape
