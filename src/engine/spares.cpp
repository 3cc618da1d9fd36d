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

// By most of the drives that are no spares: a spare may belong to another array.
Uuid array_of(std::span<const Result<SeenSuperblock>> drives) {
    std::map<Uuid, int> times;
    for (const auto& s : drives) {
        if (s) ++times[s->superblock.array];
    }
    const auto most =
        std::ranges::max_element(times, {}, [](const auto& entry) { return entry.second; });
    return most == times.end() ? Uuid{} : most->first;
}

// Where a spare goes in the list: to the place of its number, if the array file has the drives in
// that order, and nothing of this array is at that place; else behind the others. In no other case
// is it known that the drive there is not another one, which is missing.
void put_in_place(std::vector<DeviceOptions>& devices, std::vector<const MemberRecord*>& members,
                  DeviceOptions spare, const MemberRecord& record) {
    spare.role = record.role == DeviceRole::scm ? Role::scm : Role::qlc;
    std::optional<std::size_t> place;
    bool in_order = true;
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        if (devices[i].role != spare.role) continue;
        if (members[i] != nullptr) in_order &= members[i]->index == number;
        if (number++ == record.index && members[i] == nullptr) place = i;
    }
    if (place && in_order) {
        devices[*place] = std::move(spare);
        members[*place] = &record;
        return;
    }
    devices.push_back(std::move(spare));
    members.push_back(&record);
}

}  // namespace

// The newest superblock of the drives that are no spares says who is a member: what a spare says of
// itself does not count. A spare that can't be read may have had a place. Then, too, a drive that
// is no member is passed over and not refused.
Options with_spares_in_use(const Options& options) {
    Options now = options;
    if (options.spares.empty()) return now;
    OfflineQueue offline(options);
    std::vector<DeviceOptions> named = options.devices;
    named.insert(named.end(), options.spares.begin(), options.spares.end());
    const auto seen = see_all(named, offline.queue());
    const std::size_t devices = options.devices.size();
    const Uuid array = array_of(std::span(seen).first(devices));
    std::vector<const SeenSuperblock*> of_array;
    for (std::size_t i = 0; i < devices; ++i) {
        if (seen[i] && seen[i]->superblock.array == array && !is_claimed(*seen[i]))
            of_array.push_back(&*seen[i]);
    }
    if (of_array.empty()) return now;
    const Superblock newest = newest_superblock(of_array);
    const auto member_at = [&](std::size_t i) {
        const bool known = seen[i] && seen[i]->superblock.array == array;
        return known ? find_member(newest, seen[i]->device) : nullptr;
    };
    // An image of a member, old or not, has nobody's place.
    const auto has_place = [&](std::size_t i) {
        const MemberRecord* const record = member_at(i);
        if (record == nullptr) return false;
        const Standing standing = standing_of(newest, *record, *seen[i], 0);
        const bool older = standing == Standing::older || standing == Standing::diverged;
        return !older && std::ranges::none_of(of_array, [&](const SeenSuperblock* s) {
            return s->device == record->uuid;
        });
    };
    std::vector<const MemberRecord*> members;
    for (std::size_t i = 0; i < devices; ++i) members.push_back(member_at(i));
    now.spares.clear();
    bool taken = false;  // a place, perhaps
    for (std::size_t i = devices; i < named.size(); ++i) {
        const MemberRecord* const record = has_place(i) ? member_at(i) : nullptr;
        taken |= record != nullptr || (!seen[i] && seen[i].error().code != Errc::foreign_device);
        if (record != nullptr)
            put_in_place(now.devices, members, named[i], *record);
        else
            now.spares.push_back(named[i]);
    }
    if (!taken) return now;
    // Those whose places were taken say so themselves.
    const auto former = [&](const DeviceOptions& d) {
        const auto at = std::ranges::find(named, d.path, &DeviceOptions::path) - named.begin();
        const auto& s = seen[static_cast<std::size_t>(at)];
        return s && s->superblock.array == array && find_member(newest, s->device) == nullptr;
    };
    std::erase_if(now.devices, former);
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
    all.devices.insert(all.devices.end(), options.spares.begin(), options.spares.end());
    auto devices = make_devices(all, made);
    if (!devices) return fail(devices.error());
    const auto first = devices->begin() + static_cast<std::ptrdiff_t>(options.devices.size());
    std::vector<std::unique_ptr<Device>> spares(std::make_move_iterator(first),
                                                std::make_move_iterator(devices->end()));
    devices->erase(first, devices->end());
    QS_TRY(check_spares(spares, *devices, options, queue));
    return devices;
}

DeviceStatus look_at_spare(const std::string& path, const Superblock& array, IoQueue& queue) {
    DeviceStatus status;
    status.path = path;
    status.role = to_string(DeviceRole::spare);
    status.state = "spare";
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
        good = check_size(*one[0], array.parameters);
    }
    if (good) {
        const auto seen = see_superblocks(one, queue, *make_layout(array.parameters));
        const bool ours = seen[0] && seen[0]->superblock.array == array.array;
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
    const auto spares = engine_.core().spares();
    if (spares.empty()) return;
    const std::vector<Core::Lost> all = engine_.core().lost_drives();
    const std::uint64_t pause = all.empty() ? kLookSeconds : kPauseSeconds;
    for (const DeviceStatus& spare : spares) look_at(spare, known_[spare.path], pause);
    if (engine_.read_only()) return;
    std::erase_if(lost_since_, [&](const auto& known) {
        return std::ranges::none_of(
            all, [&](const Core::Lost& l) { return l.uuid.to_string() == known.first; });
    });
    for (const Core::Lost& lost : all) {
        const auto since = lost_since_.try_emplace(lost.uuid.to_string(), now).first->second;
        if (!lost.failed && now - since <= options_.spare_after_ms / 1000) continue;
        if (take_place(lost)) return;  // which took its time
    }
}

void Spares::look_at(const DeviceStatus& spare, Known& known, std::uint64_t pause) {
    if (known.looked_s != 0 && now_s_ - known.looked_s < pause) return;
    known.looked_s = now_s_;
    OfflineQueue offline(options_);
    const DeviceStatus now = engine_.core().look_at(spare.path, offline.queue());
    if (now.state == "spare")
        known.bad.clear();
    else
        tell(known.bad, "a spare can't be used: " + now.last_error);
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
    tell(known.refused, fmt::format("{}: the spare can't take the place of {} drive {}: {}", path,
                                    to_string(lost.role), lost.index, why.message));
}

// Once.
void Spares::tell(std::string& told, const std::string& what) {
    if (told == what) return;
    told = what;
    log(options_, LogLevel::warning, "{}", what);
}

}  // namespace qlcshape
