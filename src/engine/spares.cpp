// SPDX-License-Identifier: Apache-2.0
#include "engine/spares.h"

#include <algorithm>
#include <utility>

#include "base/repeats.h"
#include "base/size_text.h"
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

// Where a spare goes in the list: to the place of its number, as the array was created, unless the
// drive there is a member; else behind the others.
void put_in_place(std::vector<DeviceOptions>& devices, std::vector<const MemberRecord*>& members,
                  DeviceOptions spare, const MemberRecord& record) {
    spare.role = record.role == DeviceRole::scm ? Role::scm : Role::qlc;
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        if (devices[i].role != spare.role || number++ != record.index) continue;
        if (members[i] != nullptr) break;
        devices[i] = std::move(spare);
        members[i] = &record;
        return;
    }
    devices.push_back(std::move(spare));
    members.push_back(&record);
}

}  // namespace

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
    for (const auto& s : seen) {
        if (s && s->superblock.array == array) of_array.push_back(&*s);
    }
    if (of_array.empty()) return now;
    const Superblock newest = newest_superblock(of_array);
    const auto member_at = [&](std::size_t i) {
        const bool known = seen[i] && seen[i]->superblock.array == array;
        return known ? find_member(newest, seen[i]->device) : nullptr;
    };
    std::vector<const MemberRecord*> members;
    for (std::size_t i = 0; i < devices; ++i) members.push_back(member_at(i));
    now.spares.clear();
    for (std::size_t i = devices; i < named.size(); ++i) {
        if (const MemberRecord* record = member_at(i))
            put_in_place(now.devices, members, named[i], *record);
        else
            now.spares.push_back(named[i]);
    }
    if (now.spares.size() == options.spares.size()) return now;
    // Those whose places were taken say so themselves.
    const auto former = [&](const DeviceOptions& d) {
        const auto at = std::ranges::find(named, d.path, &DeviceOptions::path) - named.begin();
        const auto& s = seen[static_cast<std::size_t>(at)];
        return s && s->superblock.array == array && find_member(newest, s->device) == nullptr;
    };
    std::erase_if(now.devices, former);
    return now;
}

Result<Holder> holder_of(const Options& options) { return Holder::of(with_spares_in_use(options)); }

namespace {

// Of a spare of this size: in whose place it can come. QLC drives are the larger ones.
std::optional<DeviceRole> role_for(std::uint64_t bytes, const ArrayParameters& p) {
    if (bytes >= p.qlc_bytes) return DeviceRole::qlc;
    return bytes >= p.scm_bytes ? std::optional(DeviceRole::scm) : std::nullopt;
}

Status check_spare(Device& spare, const ArrayParameters& p, IoQueue& queue) {
    const std::uint64_t bytes = spare.geometry().capacity_bytes;
    const auto role = role_for(bytes, p);
    if (!role) {
        return fail(Errc::invalid_argument,
                    "{}: its size is {}: in the place of a qlc drive it must have {}, of an scm "
                    "drive {}",
                    spare.path(), size_text(bytes), at_least_text(p.qlc_bytes),
                    at_least_text(p.scm_bytes));
    }
    QS_TRY(check_fresh(spare, *role, p));
    const Status empty = check_empty(spare, queue);
    if (empty || empty.error().code != Errc::exists) return empty;
    return fail(
        Errc::exists,
        "{}; a spare must be empty: if nobody needs that, erase it (wipefs -a, blkdiscard), "
        "else remove the spare from the array file",
        empty.error().message.substr(0, empty.error().message.find("; ")));
}

}  // namespace

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
    for (const auto& spare : spares) QS_TRY(check_spare(*spare, p, queue));
    return {};
}

DeviceStatus look_at_spare(const std::string& path, const ArrayParameters& parameters,
                           IoQueue& queue) {
    DeviceStatus status;
    status.path = path;
    status.role = to_string(DeviceRole::spare);
    status.state = "spare";
    auto device = open_device(path, 0, Access::inspect, false);
    Status good = device ? Status{} : fail(device.error());
    if (device) {
        status.capacity_bytes = (*device)->geometry().capacity_bytes;
        good = check_spare(**device, parameters, queue);
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
    if (spares.empty() || engine_.read_only()) return;
    for (const DeviceStatus& spare : spares) look_at(spare, known_[spare.path]);
    const std::vector<Core::Lost> all = engine_.core().lost_drives();
    std::erase_if(lost_since_, [&](const auto& known) {
        return std::ranges::none_of(
            all, [&](const Core::Lost& l) { return l.uuid.to_string() == known.first; });
    });
    for (const Core::Lost& lost : all) {
        const std::uint64_t since =
            lost_since_.try_emplace(lost.uuid.to_string(), now).first->second;
        if (!lost.failed && now - since <= options_.spare_after_ms / 1000) continue;
        if (take_place(lost)) return;  // which took its time
    }
}

void Spares::look_at(const DeviceStatus& spare, Known& known) {
    if (known.looked_s != 0 && now_s_ - known.looked_s < kLookSeconds) return;
    known.looked_s = now_s_;
    OfflineQueue offline(options_);
    const DeviceStatus now = look_at_spare(spare.path, engine_.core().layout().p, offline.queue());
    engine_.core().note_spare(now);
    if (now.state == "spare")
        known.bad.clear();
    else
        tell(known.bad, "a spare can't be used: " + now.last_error);
}

// True if it was tried.
bool Spares::take_place(const Core::Lost& lost) {
    for (const DeviceStatus& spare : engine_.core().spares()) {
        Known& known = known_[spare.path];
        if (now_s_ < known.next_s || spare.state != "spare") continue;
        if (role_for(spare.capacity_bytes, engine_.core().layout().p) != lost.role) continue;
        DeviceOptions fresh;
        fresh.path = spare.path;
        const auto taken = engine_.replace(lost.uuid.to_string(), fresh, false);
        if (taken) {
            log(options_, LogLevel::warning,
                "{}: it was a spare, and is {} drive {} now, since that was lost; name another "
                "spare, and remove the lost drive from the array file",
                spare.path, to_string(lost.role), lost.index);
            return true;
        }
        if (taken.error().code == Errc::busy || taken.error().code == Errc::closed) return true;
        known.next_s = steady_seconds() + kPauseSeconds;
        known.looked_s = 0;
        tell(known.refused,
             fmt::format("{}: the spare can't take the place of {} drive {}: {}", spare.path,
                         to_string(lost.role), lost.index, taken.error().message));
        return true;
    }
    return false;
}

// Once.
void Spares::tell(std::string& told, const std::string& what) {
    if (told == what) return;
    told = what;
    log(options_, LogLevel::warning, "{}", what);
}

}  // namespace qlcshape
