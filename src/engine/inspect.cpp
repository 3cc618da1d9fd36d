// SPDX-License-Identifier: Apache-2.0
#include "engine/inspect.h"

#include <algorithm>
#include <optional>

#include "admin/holder.h"
#include "engine/file_room.h"
#include "engine/format_array.h"
#include "engine/health.h"
#include "engine/offline_queue.h"
#include "engine/report.h"
#include "engine/spares.h"
#include "meta/band_load.h"
#include "meta/membership.h"
#include "meta/snapshot_store.h"
#include "qlcshape/engine.h"

namespace qlcshape {

namespace {

Superblock newest(const Sight& sight) {
    std::vector<const SeenSuperblock*> seen;
    for (const Sight::Drive& d : sight.drives) seen.push_back(&d.seen);
    return newest_superblock(seen);
}

// The members that can be read; the rest have no device. By UUID, for paths may have been swapped.
std::vector<MemberDevice> members_of(Sight& sight, const Superblock& superblock) {
    std::vector<MemberDevice> members;
    for (const MemberRecord& record : superblock.members) {
        MemberDevice& member = members.emplace_back();
        member.record = record;
        const auto drive = std::ranges::find_if(sight.drives, [&](const Sight::Drive& d) {
            return d.device != nullptr && d.seen.device == record.uuid;
        });
        if (drive == sight.drives.end()) continue;
        if (record.kept_out != 0)
            sight.unusable.push_back(kept_out(drive->device->path(), record));
        else
            member.device = std::move(drive->device);
    }
    return members;
}

ArrayContext context_of_readable(const Superblock& superblock, const ArrayLayout& layout,
                                 const std::vector<MemberDevice>& members) {
    ArrayContext array(layout);
    array.array = superblock.array;
    array.qlc.resize(layout.p.qlc_count);
    array.scm.resize(layout.p.scm_count);
    for (const MemberDevice& m : members) {
        if (m.record.role == DeviceRole::qlc)
            array.qlc.set(m.record.index, m.device.get());
        else if (m.record.state == MemberState::in)
            array.scm.set(m.record.index, m.device.get());
    }
    return array;
}

// They are there, and lack what was written since they went out: until the next opening.
void show_out(Stats& s, const std::vector<MemberDevice>& members) {
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (s.devices[i].serves() && members[i].record.state == MemberState::out)
            s.devices[i].state = "out";
    }
}

void fill_bands(Stats& s, const ArrayContext& array, const Superblock& superblock,
                const std::optional<Snapshot>& snapshot, IoQueue& queue) {
    if (array.scm_in_count() == 0) return;
    // What an open would do now.
    if (superblock.state == ArrayState::clean) {
        s.recovery.kind = "clean";
    } else {
        s.recovery.kind = snapshot && !snapshot->table_damaged ? "snapshot" : "full";
    }
    const auto loaded = load_band_table(array, queue);
    if (!loaded) return add_failure(s, loaded.error().message);
    count_bands(s, array);
    const DriveSet gone = array.drives_gone();
    for (std::uint32_t i = 0; i < array.layout.bands; ++i) {
        const BandRecord& r = loaded->records[i];
        if (r.counts()) count_protection(s.protection, array, gone, BandId(i));
        if (r.state == BandState::free)
            ++s.bands.free;
        else if (r.state == BandState::open)
            ++s.bands.open;
        else
            ++s.bands.closed;
    }
}

// Whether the array would open, as it is; the error says why not. By discover_usable(), as an
// opening does it, so that both say the same.
Status would_open(const Options& options, IoQueue& queue) {
    std::vector<Unusable> absent;
    auto devices = open_devices(options, Access::inspect, &absent);
    if (!devices) return fail(devices.error());
    const auto found = discover_usable(std::move(*devices), std::move(absent), queue);
    return found ? Status{} : fail(found.error());
}

// What a copy's drive says is not what the array is like.
void leave_out_diverged(Sight& sight, IoQueue& queue) {
    std::vector<SeenDrive> seen;
    for (const Sight::Drive& d : sight.drives) seen.push_back({d.device.get(), &d.seen});
    const auto diverged = diverged_drives(histories_of(seen, queue));
    for (auto i = diverged.rbegin(); i != diverged.rend(); ++i) {
        const std::string path = sight.drives[*i].device->path();
        sight.unusable.push_back(
            {path,
             {Errc::stale_device,
              fmt::format("{}: it belongs to a copy of this array that was opened by itself",
                          path)}});
        sight.drives.erase(sight.drives.begin() + static_cast<std::ptrdiff_t>(*i));
    }
}

}  // namespace

Result<Sight> see_array(const Options& options, IoQueue& queue) {
    Sight sight;
    std::vector<std::unique_ptr<Device>> devices;
    for (const DeviceOptions& d : options.devices) {
        auto device = open_device(d.path, 0, Access::inspect, false);
        if (device)
            devices.push_back(std::move(*device));
        else
            sight.unusable.push_back({d.path, device.error()});
    }
    auto seen = see_superblocks(devices, queue);
    const auto array = most_frequent_array(seen);
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const std::string path = devices[i]->path();
        if (!seen[i]) {
            Error why = seen[i].error();
            why.message = with_path(path, why.message);
            sight.unusable.push_back({path, std::move(why)});
        } else if (seen[i]->superblock.array != array) {
            sight.unusable.push_back(
                {path,
                 {Errc::foreign_device, fmt::format("{}: it belongs to another array", path)}});
        } else {
            sight.drives.push_back({std::move(devices[i]), std::move(*seen[i])});
        }
    }
    leave_out_diverged(sight, queue);
    if (!sight.drives.empty()) return sight;
    QS_TRY(would_open(options, queue));
    return fail(Errc::foreign_device, "no device has a superblock of an array");
}

namespace {

// Counters of the newest superblock or snapshot, states of the band table.
Result<Stats> inspect_drives(const Options& options) {
    OfflineQueue offline(options);
    IoQueue& queue = offline.queue();
    auto sight = see_array(options, queue);
    if (!sight) return fail(sight.error());
    const Superblock superblock = newest(*sight);
    const auto layout = make_layout(superblock.parameters);
    if (!layout) return fail(layout.error());
    const bool held = std::ranges::any_of(
        sight->drives, [](const Sight::Drive& d) { return d.device->held_elsewhere(); });
    const std::vector<MemberDevice> members = members_of(*sight, superblock);
    const ArrayContext array = context_of_readable(superblock, *layout, members);
    LoadedSnapshot snapshot;
    if (array.scm_in_count() != 0) snapshot = load_snapshot(array, superblock.epoch, queue);
    LifetimeCounters counters = superblock.counters;
    raise_counters(counters, snapshot.counters);
    const bool clean = superblock.state == ArrayState::clean;
    Stats s;
    s.state = held ? "open" : clean ? "clean" : "crashed";
    s.counters_incomplete = !clean;
    fill_counters(s, [&](Counter c) { return counters[static_cast<std::size_t>(c)]; });
    fill_space(s, superblock, *layout);
    fill_devices(s, superblock, all_of(members), options.devices, sight->unusable);
    show_out(s, members);
    for (const DeviceOptions& spare : options.spares)
        s.devices.push_back(
            look_at_spare(spare.path, superblock.array, superblock.parameters, queue));
    fill_bands(s, array, superblock, snapshot.snapshot, queue);
    assess_health(s);
    if (held || s.health == "failed") return s;
    if (const Status opens = would_open(options, queue); !opens)
        add_failure(s, opens.error().message);
    return s;
}

Result<Stats> ask_holder(const Options& options) {
    const auto holder = Holder::of(options);
    return holder ? holder->stats() : fail(Errc::closed, "no process has it open");
}

}  // namespace

// From the process that has it open, whose figures are live; otherwise from the drives.
Result<Stats> Engine::inspect(const Options& named) {
    Result<Stats> stats = ask_holder(named);
    if (!stats && stats.error().code != Errc::foreign_device)
        stats = inspect_drives(with_spares_in_use(named));
    if (stats) stats->file_systems = file_systems_of(named);
    return stats;
}

}  // namespace qlcshape
