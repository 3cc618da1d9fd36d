// SPDX-License-Identifier: Apache-2.0
#include "engine/replace.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/size_text.h"
#include "engine/format_array.h"
#include "engine/offline_queue.h"
#include "meta/band_load.h"
#include "meta/bitmap_store.h"
#include "meta/keeper.h"
#include "meta/membership.h"
#include "meta/resilver.h"
#include "meta/superblock_store.h"

namespace qlcshape {

namespace {

Result<MemberDevice*> find_old(Discovery& d, const std::optional<Uuid>& old, DeviceRole role) {
    MemberDevice* found = nullptr;
    for (MemberDevice& m : d.members) {
        const bool meant =
            old ? m.record.uuid == *old : m.record.role == role && m.device == nullptr;
        if (!meant) continue;
        if (found != nullptr) {
            return fail(Errc::invalid_argument,
                        "more than one {} drive is missing: name the one to replace by its UUID, "
                        "which `qlcshape status` shows",
                        to_string(role));
        }
        found = &m;
    }
    if (found == nullptr)
        return fail(Errc::not_found,
                    "the drive to replace is no drive of array {}, or not any more; name one that "
                    "`qlcshape status` shows",
                    d.superblock.name);
    return found;
}

// The others have all that it has.
Status check_other_scm(const ArrayContext& array, std::uint32_t index) {
    ScmSet others;
    for (std::uint32_t i = 0; i < array.layout.p.scm_count; ++i) others[i] = array.scm_in(i);
    if (array.layout.pmt_whole_on(others)) return {};
    return fail(Errc::missing_device,
                "scm drive {} has parts of the mapping table that no other has{}", index,
                array.layout.p.pmt_copies == 1
                    ? ": the array was created with one copy of it (pmt_copies = 1)"
                    : ": reconnect the other scm drives");
}

// What follows is written without drives that are out, too, though they may be here.
Status check_out(const Discovery& d) {
    std::size_t out = 0;
    for (const MemberDevice& m : d.members) {
        const bool qlc = m.record.role == DeviceRole::qlc;
        out += qlc && (m.device == nullptr || m.record.state == MemberState::out) ? 1 : 0;
    }
    const ArrayParameters& p = d.superblock.parameters;
    const std::size_t most = p.qlc_count - p.data_strips;
    if (out <= most) return {};
    return fail(Errc::busy,
                "{} qlc drives would be out, and at most {} may be: open the array, which takes "
                "back those that are present, close it, and replace the drive then",
                out, most);
}

// Its copy of what is on all of them, and its pages of the table.
Status fill_scm(const ArrayContext& array, const ScmDrive& fresh, IoQueue& queue,
                const Progress& progress) {
    TableBitmap bitmap(array.layout);
    const LoadedBitmap loaded = load_bitmap(array, bitmap, queue);
    if (!loaded.lost.empty()) {
        return fail(Errc::damaged,
                    "page {} of the table's bitmap is damaged: open the array, which rebuilds the "
                    "table, close it, and replace the drive then",
                    loaded.lost.front());
    }
    return copy_scm_drive(array, bitmap, fresh, queue, progress);
}

// Of bands that count. Those that are being erased may name it: it is erased there once more.
Status drop_columns(const ArrayContext& array, const std::vector<BandRecord>& records,
                    std::uint32_t drive) {
    const ArrayLayout& l = array.layout;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        const BandId band(i);
        if (records[i].counts()) array.columns->drop(band, drive);
        if (!records[i].counts() || array.columns_there(band) >= l.p.data_strips) continue;
        return fail(Errc::missing_device,
                    "band {} can't be read without qlc drive {}: reconnect it, or other drives "
                    "that are missing, and open the array until `qlcshape status` says that "
                    "protection.none and .one are 0",
                    i, drive);
    }
    return {};
}

// The old drive is out, and whoever else is missing: they lack the records that follow.
Status write_out(Discovery& d, const ArrayContext& array, const LoadedBands& loaded,
                 IoQueue& queue) {
    bool any = false;
    for (std::size_t i = 0; i < d.members.size(); ++i) {
        MemberRecord& m = d.superblock.members[i];
        if (d.members[i].device != nullptr || m.state == MemberState::out) continue;
        goes_out(m, d.on_scm, d.superblock.generation);
        any = true;
    }
    if (any) {
        QS_TRY(append_superblock(d.superblock, d.members, queue));
        d.superblock.complete_generation = d.superblock.generation;
    }
    BandTable bands(array.layout);
    for (std::uint32_t i = 0; i < array.layout.bands; ++i)
        bands.restore(BandId(i), loaded.records[i]);
    auto generations = loaded.generations;
    QS_TRY(write_band_table(array, bands, generations, queue));
    return flush_drives(array.scm_written(), queue, PersistencePoint::band_table_flush);
}

}  // namespace

Status check_fresh(const Device& fresh, DeviceRole role, const ArrayParameters& p) {
    const Geometry& g = fresh.geometry();
    const std::uint64_t needed = role == DeviceRole::qlc ? p.qlc_bytes : p.scm_bytes;
    if (g.capacity_bytes < needed) {
        return fail(Errc::invalid_argument, "{}: its size is {}, and the array needs {} ({} bytes)",
                    fresh.path(), size_text(g.capacity_bytes), at_least_text(needed), needed);
    }
    return role == DeviceRole::qlc ? check_iu(fresh.path(), g, p.strip_bytes) : Status{};
}

Result<MemberRecord> replace_drive(Replacement r, Random& random, IoQueue& queue) {
    auto discovery = discover_usable(std::move(r.devices), std::move(r.absent), queue);
    if (!discovery) return fail(discovery.error());
    Discovery& d = *discovery;
    auto found = find_old(d, r.old, r.role);
    if (!found) return fail(found.error());
    MemberDevice& old = **found;
    if (d.superblock.state != ArrayState::clean) {
        return fail(Errc::busy,
                    "array {} was not closed cleanly: open it, which recovers it, close it, and "
                    "replace the drive then",
                    d.superblock.name);
    }
    const ArrayParameters& p = d.superblock.parameters;
    const DeviceRole role = old.record.role;
    QS_TRY(check_fresh(*r.fresh, role, p));
    if (!r.force) QS_TRY(check_empty(*r.fresh, queue));
    old.device.reset();
    const ArrayContext array = context_of(d);
    auto loaded = load_band_table(array, queue);
    if (!loaded) return fail(loaded.error());
    if (role == DeviceRole::qlc)
        QS_TRY(drop_columns(array, loaded->records, old.record.index));
    else
        QS_TRY(check_other_scm(array, old.record.index));
    QS_TRY(check_out(d));
    QS_TRY(write_out(d, array, *loaded, queue));

    const Uuid before = old.record.uuid;
    old.record = new_member(p, role, old.record.index, *r.fresh, random);
    old.device = std::move(r.fresh);
    old.next = {};
    QS_TRY(erase_drive(old, array.layout, queue));
    if (role == DeviceRole::scm)
        QS_TRY(fill_scm(array, {old.record.index, *old.device}, queue, r.progress));
    old.comes_in = role == DeviceRole::scm;
    *std::ranges::find(d.superblock.members, before, &MemberRecord::uuid) = old.record;
    QS_TRY(append_superblock(d.superblock, d.members, queue));
    return old.record;
}

namespace {

// As Uuid::to_string() prints it.
std::optional<Uuid> parse_uuid(const std::string& text) {
    std::string digits;
    std::ranges::copy_if(text, std::back_inserter(digits), [](char c) { return c != '-'; });
    Uuid id;
    for (std::size_t i = 0; i < id.bytes.size() && digits.size() == 2 * id.bytes.size(); ++i)
        std::from_chars(&digits[2 * i], &digits[2 * i] + 2, id.bytes[i], 16);
    return id.to_string() == text ? std::optional(id) : std::nullopt;
}

// The UUID that a drive says it has, where it can be asked.
std::optional<Uuid> uuid_of(const std::string& path, IoQueue& queue) {
    auto device = open_device(path, 0, Access::inspect, false);
    if (!device) return std::nullopt;
    std::vector<std::unique_ptr<Device>> one;
    one.push_back(std::move(*device));
    const auto seen = see_superblocks(one, queue);
    return seen[0] ? std::optional(seen[0]->device) : std::nullopt;
}

}  // namespace

Engine::Replaced replaced_of(const MemberRecord& drive) {
    return {drive.role == DeviceRole::scm ? Role::scm : Role::qlc, drive.index};
}

Result<Engine::Replaced> replace_device(const Options& options, const std::string& old,
                                        const DeviceOptions& fresh, bool force, Random& random) {
    QS_TRY(check_io_timeout(options));
    OfflineQueue offline(options);
    Options others = options;
    const auto named = std::ranges::find(others.devices, old, &DeviceOptions::path);
    Replacement r;
    r.force = force;
    r.old = parse_uuid(old);
    r.progress = options.progress;
    const bool by_path = named != others.devices.end();
    if (by_path) {
        r.role = named->role == Role::scm ? DeviceRole::scm : DeviceRole::qlc;
        r.old = uuid_of(old, offline.queue());
        others.devices.erase(named);
    } else if (!r.old) {
        return fail(Errc::invalid_argument,
                    "{}: it is neither a path of the array file nor a device UUID", old);
    }
    // The old one's path is all right: there may be another drive now. Where it is named by its
    // UUID, that is a path at which there is no other member.
    const auto same = std::ranges::find(others.devices, fresh.path, &DeviceOptions::path);
    if (same != others.devices.end()) {
        const auto there = uuid_of(fresh.path, offline.queue());
        if (by_path || (there && there != r.old)) {
            return fail(Errc::duplicate_device, "{}: it is a device of the array already",
                        fresh.path);
        }
        others.devices.erase(same);
    }
    auto devices = open_devices(others, Access::read_write, &r.absent);
    if (!devices) return fail(devices.error());
    r.devices = std::move(*devices);
    MadeFiles made;
    auto device = made.open(fresh);
    if (!device) return fail(device.error());
    r.fresh = std::move(*device);
    auto replaced = replace_drive(std::move(r), random, offline.queue());
    if (!replaced) return fail(replaced.error());
    made.keep();
    return replaced_of(*replaced);
}

}  // namespace qlcshape
