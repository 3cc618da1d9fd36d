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
    DriveSet those = array_.drives_draining();
    those.set(m.index);
    const DriveSet others = array_.drives_in() & ~those;
    const Columns& columns = *array_.columns;
    if (columns.are_enough(others.count()) && columns.have_room_for_all_of(those, others))
        return {};
    return fail(
        Errc::no_space,
        "array {}: without qlc drive {} there are {} others that are in, which have no room "
        "for what all {} had (it was created with spare_drives = {}); replace it instead",
        name(), m.index, others.count(), array_.layout.p.qlc_count, array_.layout.p.spare_drives);
}

Result<MemberRecord> Core::drain_drive(const std::string& which, bool stop) {
    if (read_only_) return fail(Errc::read_only, "array {}: it is open read-only", name());
    const auto member = member_named(which);
    if (!member) return fail(member.error());
    const Locked lock(control_mutex_);
    if (stopped_) return fail(Errc::closed, "array {}: it is being closed", name());
    QS_TRY(refuse_if_stopped());
    MemberRecord& m = superblock_.members[*member];
    if (m.role != DeviceRole::qlc) return not_qlc(m);
    if (m.kept_out == MemberRecord::kRemoved) return vacant(m);
    if (m.state == MemberState::out) {
        return fail(Errc::missing_device,
                    "array {}: qlc drive {} is out: nothing can be moved from it; replace it",
                    name(), m.index);
    }
    const std::uint8_t drains = stop ? 0 : 1;
    if (m.drains == drains) return m;
    if (!stop) QS_TRY(check_room_without(m));
    m.drains = drains;
    QS_TRY(write_superblock());
    if (m.state == MemberState::out)  // it did not take that
        return fail(Errc::io_error, "array {}: qlc drive {} is out", name(), m.index);
    {
        const Locked shown(shown_mutex_);
        members_[*member].record.drains = drains;
    }
    Device& drive = *members_[*member].device;
    stop ? drive.set_in() : drive.set_draining();
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

// Under control_mutex_, or while opening: before a superblock that tells it.
void Core::end_draining_if_needed() {
    const DriveSet draining = array_.drives_draining(), others = array_.drives_in();
    const bool enough = array_.columns->are_enough(others.count()) && can_write_on(others);
    if (draining.none() || enough) return;
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
    if (read_only_) return fail(Errc::read_only, "array {}: it is open read-only", name());
    const auto member = member_named(which);
    if (!member) return fail(member.error());
    const Locked lock(control_mutex_);
    if (stopped_) return fail(Errc::closed, "array {}: it is being closed", name());
    QS_TRY(refuse_if_stopped());
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
                    in ? "wait until `qlcshape status` shows 0 bands there"
                       : "it has to come back, or be replaced, or what it had be rebuilt on the "
                         "other drives");
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
