// SPDX-License-Identifier: Apache-2.0
// A QLC drive that takes no writes leaves the array, which goes on without it.
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
// A drive without which something could not be read any more never leaves: the array ends, as it
// does where an scm drive fails.
#include <functional>

#include "base/canary.h"
#include "engine/core.h"
#include "engine/ending.h"
#include "engine/limits.h"
#include "engine/monitor.h"
#include "meta/membership.h"

namespace qlcshape {

// Those that refuse writes, and those whose leaving is not yet durable.
DriveSet Core::leaving() const {
    DriveSet leaving;
    for (std::size_t d = 0; d < array_.qlc.size(); ++d)
        leaving[d] = array_.qlc[d] != nullptr && array_.qlc[d]->leaves();
    return leaving;
}

bool Core::can_go_on_without(const DriveSet& leaving) const {
    const std::uint32_t k = array_.layout.p.data_strips;
    bool enough = (array_.drives_in() & ~leaving).count() >= k;
    const auto see = [&](BandId band) { enough &= array_.columns_there(band, leaving) >= k; };
    bands_->in_use(std::ref(see));  // which needs no memory
    return enough;
}

// Not where one that holds the lock is inside a transfer: it comes to the same decision.
void Core::look_at_drives() {
    if (read_only_ || !array_.drive_leaves() || failed()) return;
    if (!control_mutex_.try_lock()) return;
    const Locked lock(control_mutex_, Locked::kHeld);
    const DriveSet who = leaving();
    if (can_go_on_without(who)) {
        begin_leaving(who);
        if (canary(Canary::left_before_record)) return finish_leaving();
        static_cast<void>(write_superblock());
        return;
    }
    for (std::size_t d = 0; d < who.size(); ++d) {
        if (who[d]) gate_->fail(array_.qlc[d]->last_failed());
    }
    wake_workers();
}

// The record with which it leaves is the newest that is known to be on it.
void Core::begin_leaving(const DriveSet& who) {
    for (MemberRecord& m : superblock_.members) {
        if (m.role != DeviceRole::qlc || !who[m.index] || m.state == MemberState::out) continue;
        array_.qlc[m.index]->set_leaving();
        goes_out(m, in_force_, superblock_.generation);
    }
}

// Afterwards the newest superblock is on every other drive.
void Core::finish_leaving() {
    DriveSet who;
    for (const MemberRecord& m : superblock_.members) {
        const bool qlc_out = m.role == DeviceRole::qlc && m.state == MemberState::out;
        const Device* const drive = qlc_out ? array_.qlc[m.index] : nullptr;
        if (drive != nullptr && !drive->out()) who.set(m.index);
    }
    if (who.none()) return;
    if (!canary(Canary::left_band_goes_on))
        bands_->end_open([&](BandId band) { return (array_.columns->drives(band) & who).any(); });
    for (std::size_t d = 0; d < who.size(); ++d) {
        if (who[d]) array_.qlc[d]->set_out();
    }
    bands_->erase_again();
    gate_->start();  // GC makes up first for the bands that ended early
    wake_workers();
    for (std::size_t d = 0; d < who.size(); ++d) {
        if (!who[d]) continue;
        with_memory([&] {
            log(options_, LogLevel::warning,
                "{}: qlc drive {} is out: it takes no writes, and the array goes on without it; {}",
                array_.qlc[d]->path(), d, array_.qlc[d]->last_failure());
        });
    }
}

}  // namespace qlcshape
