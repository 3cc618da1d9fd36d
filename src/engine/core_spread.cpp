// SPDX-License-Identifier: Apache-2.0
// A QLC drive has been lost for long, and no other takes its place. Where there are more drives
// than a band has columns, and room, what it had is rebuilt on the others:
//
//   who                   what                                a cut here, and the next opening
//   --------------------  ----------------------------------  -----------------------------------
//   begin_spreading()     there is room on the other drives   as if nothing had been
//   keeper                no band names the lost drive        some bands name it, and have its
//                         any more                            column if it is back; others don't
//   healer                each band gets another column       it goes on where bands lack one
//
// If the drive is back after all, it holds nothing that counts, is erased, and is in again.
#include "engine/core.h"
#include "engine/monitor.h"

namespace qlcshape {

Result<std::uint32_t> Core::check_spreading(const Uuid& lost) const {
    QS_TRY(refuse_if_ending());
    const MemberRecord* const m = find_member(superblock_, lost);
    if (m == nullptr || m->role != DeviceRole::qlc || m->state != MemberState::out)
        return fail(Errc::not_found, "array {}: no such qlc drive is out", name());
    if (!array_.columns->have_room_for_all_of(DriveSet{}.set(m->index), array_.drives_in())) {
        return fail(Errc::no_space,
                    "array {}: there is no room on the other drives for what qlc drive {} had: it "
                    "has to come back, or be replaced",
                    name(), m->index);
    }
    return m->index;
}

Status Core::begin_spreading(const Uuid& lost) {
    if (read_only_) return fail(Errc::read_only, "array {}: it is open read-only", name());
    if (replaces_.exchange(true))
        return fail(Errc::busy, "array {}: another drive is being replaced, or comes back", name());
    const Locked lock(control_mutex_);
    const auto index = check_spreading(lost);
    if (!index) {
        replaces_ = false;
        return fail(index.error());
    }
    keeper_->forget_drive(*index);
    wake_workers();
    return {};
}

bool Core::advance_spreading() {
    if (keeper_->forgets() && !failed() && !halted() && !stopped_) return false;
    bands_->drive_came();
    begin_rebuild();
    replaces_ = false;
    wake_workers();
    return true;
}

}  // namespace qlcshape
