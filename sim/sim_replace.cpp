// SPDX-License-Identifier: Apache-2.0
// A drive is replaced while the array is open and written: one that works, that has left, or that
// is away. Where the power goes meanwhile the drives tell whether the new one came in.
#include <fmt/format.h>

#include <utility>

#include "meta/superblock_store.h"
#include "sim/sim_history.h"
#include "sim/still_device.h"

namespace qlcshape::sim {

void History::begin_replacing() {
    constexpr std::uint32_t kMost = 3;
    std::set<std::size_t> lost = not_written();
    if (fresh_ != nullptr || returning_ || spreading_ || fresh_made_ == kMost) return;
    if (!cuts_replacing_ && replace_random_.chance(1, 3)) {
        // With two QLC drives away as well the others might go on by themselves.
        if (lost.size() >= options_.data_strips || !readable_without(lost)) return;
        return begin_replacing(number_of(scm_to_lose()));
    }
    const std::size_t drive = !lost.empty() && replace_random_.chance(1, 2)
                                  ? *lost.begin()
                                  : replace_random_.below(qlc_drives());
    lost.insert(drive);
    if (lost.size() <= 2 && readable_without(lost)) begin_replacing(drive);
}

void History::begin_replacing(std::size_t drive) {
    Media& old = *media_[drive];
    Media& fresh = world_.add(fmt::format("new{}", ++fresh_made_), old.capacity(),
                              replace_random_.chance(1, 2), old.discard_clears);
    fresh.qlc = old.qlc;
    fresh.weak = old.weak;
    if (old.zoned()) fresh.make_zoned(options_.band_bytes);
    const Status begun =
        core_->begin_replace(core_->stats().devices[drive].uuid, world_.device(fresh), false);
    if (begun) {
        fresh_ = &fresh;
        fresh_for_ = drive;
        if (!old.qlc) {
            behind_ = &old;  // it goes out when the new one is ready
            if (replace_random_.chance(1, 3))
                world_.cut_at(PersistencePoint::scm_superblock_write, 1 + replace_random_.below(4),
                              replace_random_.below(20));
        } else if (cuts_replacing_) {
            const std::uint64_t nth = 1 + replace_random_.below(4);
            world_.cut_at(PersistencePoint::scm_superblock_flush, nth, replace_random_.below(20));
        }
    } else if (!may_stop() && begun.error().code != Errc::missing_device) {
        violate("begin_replace: " + begun.error().message);
    }
}

// What a drive had that is lost goes to the others, where they have room.
void History::begin_spreading() {
    if (fresh_ != nullptr || returning_ || spreading_) return;
    for (const Core::Lost& lost : core_->lost_drives()) {
        if (lost.role != DeviceRole::qlc) continue;
        const Status begun = core_->begin_spreading(lost.uuid);
        spreading_ = begun.has_value();
        if (spreading_) ++result_.drives_spread;
        if (begun || may_stop() || world_.dead()) return;
        const Errc why = begun.error().code;
        if (why != Errc::no_space && why != Errc::not_found && why != Errc::closed)
            violate("begin_spreading: " + begun.error().message);
    }
}

// Also where the power went before it was said.
void History::note_removed() {
    const Stats now = core_->stats();
    for (std::size_t i = 0; i < qlc_drives(); ++i) {
        if (now.devices[i].state == "removed") removed_.insert(i);
    }
}

// One drive after the other. What is drained is removed, or used again, sooner or later.
void History::drain_or_remove() {
    if (fresh_ != nullptr || returning_ || spreading_ || world_.dead()) return;
    const Stats now = core_->stats();
    const auto drains =
        std::ranges::find(now.devices, std::string("draining"), &DeviceStatus::state);
    const auto judge = [this](const char* what, const Result<MemberRecord>& done) {
        if (done || may_stop() || world_.dead()) return;
        const Errc why = done.error().code;
        const bool left = why == Errc::io_error && !not_written().empty();  // when it was told
        if (!left && why != Errc::no_space && why != Errc::missing_device && why != Errc::closed)
            violate(fmt::format("{}: {}", what, done.error().message));
    };
    if (drains == now.devices.end()) {
        const DeviceStatus& one = now.devices[drain_random_.below(qlc_drives())];
        if (one.state != "online") return;
        const auto drained = core_->drain_drive(one.uuid, false);
        if (drained) ++result_.drives_drained;
        return judge("drain", drained);
    }
    const bool early = drains->bands != 0 && drain_random_.chance(1, 4);
    if (drains->bands != 0 && !early) {
        if (drain_random_.chance(1, 8))
            judge("drain --stop", core_->drain_drive(drains->uuid, true));
        return;
    }
    const auto removed = core_->remove_drive(drains->uuid);
    if (removed) {
        ++result_.drives_removed;
        removed_.insert(drains->index);
    }
    const bool refused = !removed && removed.error().code == Errc::busy;
    if (!early || !refused) judge("remove", removed);
}

// A drive that is out, or away, takes again what it is told, and comes back as soon as it may.
void History::begin_returning() {
    if (fresh_ != nullptr || returning_ || spreading_) return;
    const Stats now = core_->stats();
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < media_.size(); ++i) {
        if (now.devices[i].state != "online" && !removed_.contains(i)) out.push_back(i);
    }
    if (out.empty()) return;
    const std::size_t drive = out[return_random_.below(out.size())];
    Media& media = *media_[drive];
    const auto paths = core_->paths_to_return();
    if (std::ranges::find(paths, media.name) == paths.end()) return;
    world_.mend(media);
    if (!media.writes()) return;
    mended_.insert(drive);
    const Status begun = core_->begin_return(world_.device(media));
    if (begun) {
        returning_ = drive;
        if (return_random_.chance(1, 4))
            world_.cut_at(PersistencePoint::scm_superblock_write, 1 + return_random_.below(4),
                          return_random_.below(20));
        else if (return_random_.chance(1, 4))
            world_.cut_after(1 + return_random_.below(400));
    } else if (!may_stop() && !world_.dead() && begun.error().code != Errc::busy) {
        violate("begin_return: " + begun.error().message);
    }
}

void History::end_returning() {
    const auto back = core_->finish_replace();
    const std::size_t drive = *std::exchange(returning_, std::nullopt);
    if (back) {
        mended_.erase(drive);
        away_.erase(drive);
        if (media_[drive]->qlc) {
            ++result_.drives_returned_open;
        } else {
            ++result_.scm_returned_open;
            behind_ = away_scm_ = nullptr;
        }
        return;
    }
    const bool left_again = !media_[drive]->writes() && back.error().code == Errc::io_error;
    if (!world_.dead() && !may_stop() && !left_again && back.error().code != Errc::closed)
        violate("return: " + back.error().message);
}

void History::advance_replacing() {
    if (spreading_ && core_->advance_spreading()) spreading_ = false;
    if ((fresh_ == nullptr && !returning_) || !core_->advance_replace()) return;
    if (returning_) return end_returning();
    const auto replaced = core_->finish_replace();
    if (replaced) return take_fresh();
    if (world_.dead()) return;  // then look_for_fresh() tells
    const bool refused = !fresh_->qlc && fresh_->weak && replaced.error().code == Errc::io_error;
    fresh_ = nullptr;
    if (!may_stop() && !refused && replaced.error().code != Errc::closed)
        violate("replace: " + replaced.error().message);
}

void History::take_fresh() {
    media_[fresh_for_] = fresh_;
    removed_.erase(fresh_for_);
    options_.devices[fresh_for_].path = fresh_->name;
    away_.erase(fresh_for_);
    if (!fresh_->qlc) {
        ++result_.scm_replaced_open;
        behind_ = away_scm_ = nullptr;
        // Then it may as well be the other one that is lost.
        Media& other = *media_[fresh_for_ == qlc_drives() ? fresh_for_ + 1 : fresh_for_ - 1];
        if (replace_random_.chance(1, 2)) std::swap(fresh_->weak, other.weak);
    } else {
        ++result_.drives_replaced_open;
    }
    fresh_ = nullptr;
}

void History::finish_replacing() {
    for (std::uint64_t i = 0; (fresh_ != nullptr || returning_ || spreading_) && !world_.dead();
         ++i) {
        advance_replacing();
        poll_something();
        if (i > 20000000) return void(violate("a replacement never ends"));
    }
}

// What bands lack on drives that are there they get, though nobody writes.
void History::rebuild_episode() {
    if (!goes_away() || world_.dead() || core_->failed() || world_.silenced()) return;
    world_.faults().rest();
    for (std::uint64_t i = 0; i % 64 != 0 || core_->stats().rebuild.bands_left != 0; ++i) {
        if (spreading_) advance_replacing();
        poll_something();
        if (world_.dead() || core_->failed() || !result_.violation.empty()) return;
        if (i > 2'000'000) return void(violate("bands lack strips on drives that are there"));
    }
}

// After a crash: it is a member, or never was one.
void History::look_for_fresh() {
    if (fresh_ == nullptr) return;
    std::vector<Media*> with_it = media_;
    with_it[fresh_for_] = fresh_;
    IoQueue q;
    fresh_unheard_ = discover(still_devices(with_it), {}, q).has_value();
    if (fresh_unheard_) return take_fresh();
    fresh_ = nullptr;
}

}  // namespace qlcshape::sim
