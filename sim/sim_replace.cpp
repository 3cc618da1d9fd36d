// SPDX-License-Identifier: Apache-2.0
// A drive is replaced while the array is open and written: one that works, that has left, or that
// is away. Where the power goes meanwhile the drives tell whether the new one came in.
#include <fmt/format.h>

#include "meta/superblock_store.h"
#include "sim/sim_history.h"
#include "sim/still_device.h"

namespace qlcshape::sim {

void History::begin_replacing() {
    constexpr std::uint32_t kMost = 3;
    std::set<std::size_t> lost = not_written();
    const std::size_t drive = !lost.empty() && replace_random_.chance(1, 2)
                                  ? *lost.begin()
                                  : replace_random_.below(options_.data_strips + 2);
    lost.insert(drive);
    if (fresh_ != nullptr || fresh_made_ == kMost || lost.size() > 2 || !readable_without(lost))
        return;
    const Media& old = *media_[drive];
    Media& fresh = world_.add(fmt::format("new{}", ++fresh_made_), old.capacity(),
                              replace_random_.chance(1, 2), old.discard_clears);
    fresh.qlc = true;
    fresh.weak = old.weak;
    if (old.zoned()) fresh.make_zoned(options_.band_bytes);
    const Status begun =
        core_->begin_replace(core_->stats().devices[drive].uuid, world_.device(fresh), false);
    if (begun) {
        fresh_ = &fresh;
        fresh_for_ = drive;
        if (cuts_replacing_) {
            const std::uint64_t nth = 1 + replace_random_.below(4);
            world_.cut_at(PersistencePoint::scm_superblock_flush, nth, replace_random_.below(20));
        }
    } else if (!may_stop() && begun.error().code != Errc::missing_device) {
        violate("begin_replace: " + begun.error().message);
    }
}

void History::advance_replacing() {
    if (fresh_ == nullptr || !core_->advance_replace()) return;
    const auto replaced = core_->finish_replace();
    if (replaced) return take_fresh();
    if (world_.dead()) return;  // then look_for_fresh() tells
    fresh_ = nullptr;
    if (!may_stop() && replaced.error().code != Errc::closed)
        violate("replace: " + replaced.error().message);
}

void History::take_fresh() {
    media_[fresh_for_] = fresh_;
    options_.devices[fresh_for_].path = fresh_->name;
    away_.erase(fresh_for_);
    fresh_ = nullptr;
    ++result_.drives_replaced_open;
}

void History::finish_replacing() {
    for (std::uint64_t i = 0; fresh_ != nullptr && !world_.dead(); ++i) {
        advance_replacing();
        poll_something();
        if (i > 20000000) return void(violate("a replacement never ends"));
    }
}

// After a crash: it is a member, or never was one.
void History::look_for_fresh() {
    if (fresh_ == nullptr) return;
    std::vector<std::unique_ptr<Device>> drives;
    for (std::size_t i = 0; i < media_.size(); ++i)
        drives.push_back(std::make_unique<StillDevice>(i == fresh_for_ ? *fresh_ : *media_[i]));
    IoQueue q;
    if (discover(std::move(drives), {}, q)) return take_fresh();
    fresh_ = nullptr;
}

}  // namespace qlcshape::sim
