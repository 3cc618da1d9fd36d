// SPDX-License-Identifier: Apache-2.0
#include "engine/spares.h"

#include <algorithm>
#include <utility>

#include "base/repeats.h"
#include "base/size_text.h"
#include "engine/file_room.h"
#include "engine/format_array.h"
#include "engine/monitor.h"
#include "engine/offline_queue.h"
#include "engine/replace.h"
#include "engine/report.h"
#include "meta/membership.h"
#include "meta/superblock_find.h"

namespace qlcshape {

namespace {

// What the drives that the options name say, in that order; where one can't be read: why.
std::vector<Result<SeenSuperblock>> see_all(const std::vector<DeviceOptions>& named,
                                            IoQueue& queue) {
    std::vector<std::unique_ptr<Device>> devices;
    std::vector<std::size_t> places;
    std::vector<Result<SeenSuperblock>> all;
    for (const DeviceOptions& d : named) {
        auto device = open_device(d.path, 0, Access::inspect, false);
        all.push_back(fail(device ? Error{} : device.error()));
        if (!device) continue;
        places.push_back(all.size() - 1);
        devices.push_back(std::move(*device));
    }
    auto seen = see_superblocks(devices, queue);
    for (std::size_t i = 0; i < seen.size(); ++i) all[places[i]] = std::move(seen[i]);
    return all;
}

// One that the array file names, and what it says where it says that it is of this array.
struct Named {
    DeviceOptions device;
    const SeenSuperblock* seen = nullptr;
    const MemberRecord* member = nullptr;
};

// Where a spare goes in the list: to the place of its number, if the array file has the drives in
// that order, and nothing of this array is at that place; else behind the others. In no other case
// is it known that the drive there is not another one, which is missing.
void put_in_place(std::vector<Named>& drives, Named spare) {
    const Role role = spare.member->role == DeviceRole::scm ? Role::scm : Role::qlc;
    spare.device.role = role;
    std::optional<std::size_t> place;
    bool in_order = true;
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < drives.size(); ++i) {
        if (drives[i].device.role != role) continue;
        const MemberRecord* const member = drives[i].member;
        if (member != nullptr) in_order &= member->index == number;
        if (number++ == spare.member->index && member == nullptr) place = i;
    }
    if (place && in_order)
        drives[*place] = std::move(spare);
    else
        drives.push_back(std::move(spare));
}

// An image of a member, old or not, has nobody's place.
bool has_place(const Named& spare, const std::vector<const SeenSuperblock*>& others,
               const Superblock& newest) {
    if (spare.member == nullptr) return false;
    const Standing standing = standing_of(newest, *spare.member, *spare.seen, 0);
    const bool older = standing == Standing::older || standing == Standing::diverged;
    return !older && std::ranges::none_of(others, [&](const SeenSuperblock* s) {
        return s->device == spare.seen->device;
    });
}

}  // namespace

// The newest superblock of the drives that are no spares says who is a member: what a spare says of
// itself does not count. A spare that can't be read may have had a place. Then, too, a drive that
// is no member is passed over and not refused.
Options with_spares_in_use(const Options& options) {
    if (options.spares.empty()) return options;
    OfflineQueue offline(options);
    const std::vector<DeviceOptions> all = options.all_named();
    const auto seen = see_all(all, offline.queue());
    const std::size_t devices = options.devices.size();
    const auto array = most_frequent_array(std::span(seen).first(devices));
    std::vector<Named> named;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const bool ours = seen[i] && seen[i]->superblock.array == array;
        named.push_back({all[i], ours ? &*seen[i] : nullptr});
    }
    std::vector<const SeenSuperblock*> of_array;
    for (std::size_t i = 0; i < devices; ++i) {
        if (named[i].seen != nullptr && !is_claimed(*named[i].seen))
            of_array.push_back(named[i].seen);
    }
    if (of_array.empty()) return options;
    const Superblock newest = newest_superblock(of_array);
    for (Named& n : named) {
        if (n.seen != nullptr) n.member = find_member(newest, n.seen->device);
    }
    Options now = options;
    now.spares.clear();
    std::vector<Named> drives(named.begin(), named.begin() + static_cast<std::ptrdiff_t>(devices));
    bool taken = false;  // a place, perhaps
    for (std::size_t i = devices; i < named.size(); ++i) {
        const bool in_use = has_place(named[i], of_array, newest);
        taken |= in_use || (!seen[i] && seen[i].error().code != Errc::foreign_device);
        if (in_use)
            put_in_place(drives, named[i]);
        else
            now.spares.push_back(all[i]);
    }
    if (!taken) return now;
    // Those whose places were taken say so themselves.
    now.devices.clear();
    for (const Named& n : drives) {
        if (n.seen == nullptr || n.member != nullptr) now.devices.push_back(n.device);
    }
    return now;
}

namespace {

// Of a spare of this size: in whose place it can come. QLC drives are the larger ones.
std::optional<DeviceRole> role_for(std::uint64_t bytes, const ArrayParameters& p) {
    if (bytes >= p.qlc_bytes) return DeviceRole::qlc;
    return bytes >= p.scm_bytes ? std::optional(DeviceRole::scm) : std::nullopt;
}

Status check_size(const Device& spare, const ArrayParameters& p) {
    const std::uint64_t bytes = spare.geometry().capacity_bytes;
    if (const auto role = role_for(bytes, p)) return check_fresh(spare, *role, p);
    return fail(Errc::invalid_argument,
                "{}: its size is {}: in the place of a qlc drive it must have {}, of an scm drive "
                "{}",
                spare.path(), size_text(bytes), at_least_text(p.qlc_bytes),
                at_least_text(p.scm_bytes));
}

Status check_no_data(Device& spare, IoQueue& queue) {
    const Status empty = check_empty(spare, queue);
    if (empty || empty.error().code != Errc::exists) return empty;
    return fail(Errc::exists,
                "{}; a spare must be empty: if nobody needs that, erase it (blkdiscard, or dd "
                "if=/dev/zero), else remove the spare from the array file",
                empty.error().message.substr(0, empty.error().message.find("; ")));
}

// One that is a member, or was one, is no spare.
Status refuse_drive_of_array(const SeenSuperblock& seen, const std::string& path) {
    const MemberRecord* const record = find_member(seen.superblock, seen.device);
    return fail(Errc::exists,
                "{}: it is {} drive {} of this array, or was: if it is, it is taken back while the "
                "array is open; if another drive has its place, erase it (blkdiscard, or dd "
                "if=/dev/zero) to make it a spare",
                path, record == nullptr ? "a" : to_string(record->role),
                record == nullptr ? 0 : record->index);
}

// By the smallest drive of each role, as the array will be.
Status check_spares(const std::vector<std::unique_ptr<Device>>& spares,
                    const std::vector<std::unique_ptr<Device>>& devices, const Options& options,
                    IoQueue& queue) {
    ArrayParameters p;
    p.strip_bytes = options.strip_bytes;
    p.qlc_bytes = p.scm_bytes = UINT64_MAX;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        std::uint64_t& least = options.devices[i].role == Role::scm ? p.scm_bytes : p.qlc_bytes;
        least = std::min(least, devices[i]->geometry().capacity_bytes);
    }
    for (const auto& spare : spares) {
        QS_TRY(check_size(*spare, p));
        QS_TRY(check_no_data(*spare, queue));
    }
    return {};
}

}  // namespace

Result<std::vector<std::unique_ptr<Device>>> make_devices_and_spares(const Options& options,
                                                                     MadeFiles& made,
                                                                     IoQueue& queue) {
    Options all = options;  // together, so that none is named twice
    all.devices = options.all_named();
    auto devices = make_devices(all, made);
    if (!devices) return fail(devices.error());
    const auto first = devices->begin() + static_cast<std::ptrdiff_t>(options.devices.size());
    std::vector<std::unique_ptr<Device>> spares(std::make_move_iterator(first),
                                                std::make_move_iterator(devices->end()));
    devices->erase(first, devices->end());
    QS_TRY(check_spares(spares, *devices, options, queue));
    return devices;
}

DeviceStatus look_at_spare(const std::string& path, const Uuid& array, const ArrayParameters& p,
                           IoQueue& queue) {
    DeviceStatus status = spare_at(path);
    Options alone;
    alone.devices.push_back({.path = path});
    for (const Stats::FileSystem& system : file_systems_of(alone)) {
        if (!is_short(system)) continue;
        status.state = "failed";
        status.last_error = shortage(system);
        return status;
    }
    std::vector<std::unique_ptr<Device>> one;
    auto device = open_device(path, 0, Access::inspect, false);
    Status good = device ? Status{} : fail(device.error());
    if (device) {
        status.capacity_bytes = (*device)->geometry().capacity_bytes;
        one.push_back(std::move(*device));
        good = check_size(*one[0], p);
    }
    if (good) {
        const auto seen = see_superblocks(one, queue, *make_layout(p));
        const bool ours = seen[0] && seen[0]->superblock.array == array;
        if (!ours) {
            good = check_no_data(*one[0], queue);
        } else if (!is_claimed(*seen[0])) {
            status.uuid = seen[0]->device.to_string();
            good = refuse_drive_of_array(*seen[0], path);
        }
    }
    if (good) return status;
    status.state = good.error().code == Errc::missing_device ? "missing" : "failed";
    status.last_error = good.error().message;
    return status;
}

void Spares::look() {
    const std::uint64_t now = steady_seconds();
    if (now == now_s_) return;
    now_s_ = now;
    if (spreading_ && engine_.core().advance_spreading()) spreading_ = false;
    const auto spares = engine_.core().spares();
    const ArrayLayout& l = engine_.core().layout();
    if (spares.empty() && l.p.qlc_count == l.width()) return;
    const std::vector<Core::Lost> all = engine_.core().lost_drives();
    const std::uint64_t every_s = all.empty() ? kLookSeconds : kPauseSeconds;
    for (const DeviceStatus& spare : spares) look_at(spare, known_[spare.path], every_s);
    if (engine_.read_only()) return;
    std::erase_if(lost_since_, [&](const auto& known) {
        return std::ranges::none_of(
            all, [&](const Core::Lost& one) { return one.uuid.to_string() == known.first; });
    });
    std::erase_if(spread_, [&](const auto& known) { return !lost_since_.contains(known.first); });
    for (const Core::Lost& lost : all) {
        const auto since = lost_since_.try_emplace(lost.uuid.to_string(), now).first->second;
        if (!lost.failed && now - since <= options_.spare_after_ms / 1000) continue;
        if (take_place(lost) || spread(lost)) return;  // which took its time
    }
}

// Once: what it had then is what it had when it was lost, or less.
bool Spares::spread(const Core::Lost& lost) {
    const ArrayLayout& l = engine_.core().layout();
    if (lost.role != DeviceRole::qlc || l.p.qlc_count == l.width()) return false;
    if (engine_.core().array().columns->taken_on(lost.index) == 0) return false;  // was done before
    Known& known = spread_[lost.uuid.to_string()];
    if (now_s_ < known.next_s) return false;
    const Status begun = engine_.core().begin_spreading(lost.uuid);
    if (begun) {
        spreading_ = true;
        known.next_s = UINT64_MAX;
        log(options_, LogLevel::warning,
            "array {}: qlc drive {} is lost: what it had is rebuilt on the other drives",
            engine_.core().name(), lost.index);
        return true;
    }
    known.next_s = now_s_ + kPauseSeconds;
    if (begun.error().code == Errc::no_space)
        log_once(options_, known.refused, begun.error().message);
    return false;
}

void Spares::look_at(const DeviceStatus& spare, Known& known, std::uint64_t every_s) {
    if (known.looked_s != 0 && now_s_ - known.looked_s < every_s) return;
    known.looked_s = now_s_;
    OfflineQueue offline(options_);
    Core& core = engine_.core();
    const DeviceStatus now =
        look_at_spare(spare.path, core.array().array, core.layout().p, offline.queue());
    core.note_spare(now);
    if (now.state == "spare")
        known.bad.clear();
    else
        log_once(options_, known.bad, "a spare can't be used: " + now.last_error);
}

// True if a spare was tried. What the array refuses for reasons of its own (another replacement is
// under way, it is being closed) is not held against the spare.
bool Spares::take_place(const Core::Lost& lost) {
    for (const DeviceStatus& spare : engine_.core().spares()) {
        Known& known = known_[spare.path];
        if (now_s_ < known.next_s || spare.state != "spare") continue;
        if (role_for(spare.capacity_bytes, engine_.core().layout().p) != lost.role) continue;
        auto device = open_device(spare.path, 0, Access::read_write, false);
        if (!device) {
            pause(known, spare.path, lost, device.error());
            continue;
        }
        const Status taken = engine_.use_spare(lost.uuid.to_string(), std::move(*device));
        if (taken) {
            log(options_, LogLevel::warning,
                "{}: it was a spare, and is {} drive {} now, since that was lost; put its path in "
                "place of the lost one's in the array file, and name another spare",
                spare.path, to_string(lost.role), lost.index);
        } else if (taken.error().code != Errc::busy && taken.error().code != Errc::closed &&
                   taken.error().code != Errc::not_found) {
            pause(known, spare.path, lost, taken.error());
        }
        return true;
    }
    return false;
}

void Spares::pause(Known& known, const std::string& path, const Core::Lost& lost,
                   const Error& why) {
    known.next_s = steady_seconds() + kPauseSeconds;
    known.looked_s = 0;
    log_once(options_, known.refused,
             fmt::format("{}: the spare can't take the place of {} drive {}: {}", path,
                         to_string(lost.role), lost.index, why.message));
}

}  // namespace qlcshape
