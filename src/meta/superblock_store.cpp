// SPDX-License-Identifier: Apache-2.0
#include "meta/superblock_store.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/size_text.h"
#include "meta/membership.h"
#include "meta/remedies.h"
#include "meta/superblock_find.h"
#include "meta/superblock_places.h"

namespace qlcshape {

namespace {

// Where such a drive lacks what it should have.
const char* remedy_for(DeviceRole role, const ArrayParameters& p) {
    return role == DeviceRole::scm && p.pmt_copies == 1 ? kEveryScm : kWithoutIt;
}

// What to do with a drive without a whole superblock, which can't say which member it is: by the
// roles of the members that nobody else is.
const char* remedy_for_damaged(const FoundEach& found, const Uuid& array) {
    bool qlc = false, scm = false, mirrored = false;
    for (const auto& f : found) {
        if (!f || f->superblock.array != array) continue;
        mirrored |= f->superblock.parameters.pmt_copies > 1;
        for (const MemberRecord& m : f->superblock.members) {
            if (std::ranges::any_of(found, [&](const auto& o) { return o && o->device == m.uuid; }))
                continue;
            (m.role == DeviceRole::qlc ? qlc : scm) = true;
        }
    }
    if (!scm) {
        return "restore its contents, or remove it from the array file: the array opens without "
               "it as long as the data of each band is on the drives that are left";
    }
    if (mirrored) {
        return "restore its contents, or remove it from the array file: the array opens without "
               "it as long as one scm drive and the data of each band are on the drives that are "
               "left";
    }
    return qlc ? "restore its contents; if it is a qlc drive, you can remove it from the array "
                 "file, and the array opens without it, but every scm drive is needed"
               : "every scm drive is needed, so restore its contents";
}

constexpr const char* kOtherDrive =
    "it does not belong to this array: correct its path, or, if it was overwritten, ";

Status check_each(const std::vector<std::unique_ptr<Device>>& devices, const FoundEach& found) {
    std::map<Uuid, std::size_t> arrays;
    for (const auto& f : found) {
        if (f) ++arrays[f->superblock.array];
    }
    if (arrays.empty()) {
        for (std::size_t i = 0; i < devices.size(); ++i) {
            if (found[i].error().code != Errc::foreign_device) {
                return fail(found[i].error().code, "{}",
                            with_path(devices[i]->path(), found[i].error().message));
            }
        }
        return fail(
            Errc::foreign_device,
            "{}: there is no superblock on it, nor on any other device: is this the right array "
            "file, and was the array created?",
            devices[0]->path());
    }
    const Uuid array =
        std::max_element(arrays.begin(), arrays.end(), [](const auto& a, const auto& b) {
            return a.second < b.second;
        })->first;
    std::map<Uuid, std::size_t> seen;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const std::string& path = devices[i]->path();
        if (!found[i]) {
            if (found[i].error().code == Errc::unsupported) {
                return fail(Errc::unsupported,
                            "{}; if it isn't a drive of this array, correct its path",
                            with_path(path, found[i].error().message));
            }
            const bool foreign = found[i].error().code == Errc::foreign_device;
            return fail(found[i].error().code, "{}; {}{}",
                        with_path(path, found[i].error().message), foreign ? kOtherDrive : "",
                        remedy_for_damaged(found, array));
        }
        if (found[i]->superblock.array != array) {
            return fail(
                Errc::foreign_device,
                "{}: it belongs to array {} ({}), the others belong to {}; correct its path, or, "
                "if it was overwritten, {}",
                path, found[i]->superblock.array.to_string(), found[i]->superblock.name,
                array.to_string(), remedy_for_damaged(found, array));
        }
        auto [other, first] = seen.emplace(found[i]->device, i);
        if (!first) {
            return fail(Errc::duplicate_device,
                        "{}: it is the same member as {} (device UUID {}); name each once", path,
                        devices[other->second]->path(), found[i]->device.to_string());
        }
    }
    return {};
}

// Of drives that take part. One that is out may have a record of an opening that was cut off.
Status check_histories(const std::vector<std::unique_ptr<Device>>& devices, const FoundEach& found,
                       const Superblock& newest, IoQueue& queue) {
    std::vector<SeenDrive> drives;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const MemberRecord* const member = find_member(newest, found[i]->device);
        if (member == nullptr || member->state != MemberState::out)
            drives.push_back({devices[i].get(), &*found[i]});
    }
    return refuse_diverged(histories_of(drives, queue));
}

Status refuse_former_members(const std::vector<std::unique_ptr<Device>>& devices,
                             const FoundEach& found, const Superblock& newest) {
    for (std::size_t i = 0; i < devices.size(); ++i) {
        if (find_member(newest, found[i]->device) != nullptr) continue;
        return fail(Errc::foreign_device,
                    "{}: it is no longer a member of the array; remove it from the array file",
                    devices[i]->path());
    }
    return {};
}

SuperblockMark newest_on_scm(const FoundEach& found, const Superblock& newest) {
    SuperblockMark mark;
    for (const auto& f : found) {
        const Superblock& s = f->superblock;
        const MemberRecord& m = *find_member(newest, f->device);
        const bool scm_in = m.role == DeviceRole::scm && m.state == MemberState::in;
        if (scm_in && s.generation >= mark.generation)
            mark = {s.generation, s.epoch, s.epoch_key, 0};
    }
    return mark;
}

Status refuse_standing(const std::string& path, const Superblock& newest,
                       const MemberRecord& member, const SeenSuperblock& seen,
                       std::uint64_t on_scm) {
    const std::uint64_t generation = seen.superblock.generation;
    const Standing standing = standing_of(newest, member, seen, on_scm);
    if (standing == Standing::diverged) return fail(diverged(path, generation));
    if (standing != Standing::older) return {};
    return fail(Errc::stale_device,
                "{}: it is older than the other drives (its superblock is of generation {}, the "
                "array's of {}) and lacks what was written since; {}",
                path, generation, newest.generation, remedy_for(member.role, newest.parameters));
}

// Members that missed superblocks.
Status refuse_stale(const std::vector<std::unique_ptr<Device>>& devices, const FoundEach& found,
                    const Superblock& newest, const std::vector<const SeenSuperblock*>& seen) {
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const MemberRecord& member = *find_member(newest, found[i]->device);
        // Another process writes to it: the drives were read at different moments.
        if (devices[i]->held_elsewhere() || member.kept_out != 0) continue;
        QS_TRY(refuse_standing(devices[i]->path(), newest, member, *found[i],
                               newest_due(newest, seen, member)));
    }
    return {};
}

// A process that died may have left in the drives' caches what it never flushed. What is read from
// here on must be there after a power cut, too: superblocks are replaced on the strength of it, and
// what recovery finds, it decides for good. Who only reads decides nothing.
Status flush_caches(const std::vector<std::unique_ptr<Device>>& devices, IoQueue& queue) {
    std::vector<Device*> all;
    for (const auto& device : devices) {
        if (!device->read_only()) all.push_back(device.get());
    }
    return flush_drives(all, queue, PersistencePoint::open_flush);
}

// By path, or by what failed.
std::string names_of(const std::vector<Unusable>& absent) {
    std::string names;
    for (const Unusable& u : absent) {
        if (!names.empty()) names += ", ";
        names += u.why.code == Errc::missing_device ? u.path : u.why.message;
    }
    return names;
}

std::uint64_t unit_bytes_of(DeviceRole role, const ArrayLayout& layout) {
    return role == DeviceRole::qlc ? layout.qlc_superblock_unit_bytes
                                   : layout.scm_superblock_unit_bytes;
}

// The members that the superblock names, each without a device yet.
std::vector<MemberDevice> members_of(const Superblock& superblock) {
    const ArrayLayout layout = *make_layout(superblock.parameters);
    std::vector<MemberDevice> members;
    for (const MemberRecord& record : superblock.members) {
        MemberDevice member;
        member.record = record;
        member.unit_bytes = unit_bytes_of(record.role, layout);
        members.push_back(std::move(member));
    }
    return members;
}

Status refuse_truncated(const Device& device, DeviceRole role, const ArrayParameters& p) {
    const std::uint64_t needed = role == DeviceRole::qlc ? p.qlc_bytes : p.scm_bytes;
    const std::uint64_t bytes = device.geometry().capacity_bytes;
    if (bytes >= needed) return {};
    return fail(Errc::damaged,
                "{}: its size is {} ({} bytes), and {} are in use: it was truncated; {}",
                device.path(), size_text(bytes), bytes, needed, remedy_for(role, p));
}

// Where an append may have been torn after the newest record it goes on in the other unit.
void set_next_place(const FoundSuperblock& found, const Discovery& d, MemberDevice& member) {
    const bool out = member.record.state == MemberState::out;
    const Superblock& newest = d.superblock;
    const bool clean =
        newest.state == ArrayState::clean && found.superblock.generation == newest.generation;
    const std::uint64_t record = make_layout(newest.parameters)->superblock_record_bytes;
    const bool room = found.slot + 1 < Places{record, member.unit_bytes}.slots();
    const SuperblockMark* const known =
        find_record(found, out ? left_with(member.record) : d.on_scm);
    // A newer one than the newest that is whole is torn.
    const bool whole = known != nullptr && known->generation <= found.superblock.generation;
    member.kept_unit =
        whole ? static_cast<std::uint32_t>(known->offset / member.unit_bytes) : found.unit;
    // One that is out and has a newer record than that took part in an opening that was cut off.
    const bool left_alone = out && whole && known->generation == found.superblock.generation;
    if (found.next_blank && room && (left_alone || clean))
        member.next = {found.unit, found.slot + 1, false};
    else
        member.next = {member.kept_unit ^ 1, 0, true};
}

MemberDevice& member_of(Discovery& d, const Uuid& device) {
    return *std::ranges::find(d.members, device, [](const auto& m) { return m.record.uuid; });
}

std::unexpected<Error> missing(const MemberRecord& m, const std::vector<Unusable>& absent,
                               const char* why) {
    return fail(Errc::missing_device, "{} drive {} (device UUID {}) is missing{}{}: {}",
                to_string(m.role), m.index, m.uuid.to_string(),
                absent.empty() ? "" : "; could not open ", names_of(absent), why);
}

const char* why_scm_is_needed(const ArrayParameters& p) {
    if (p.pmt_copies == 1) return "every scm drive is needed to open";
    return p.scm_count == 2 ? "one scm drive that has the newest writes is needed to open"
                            : "of two scm drives that follow each other one is needed to open";
}

std::string most_missing(const ArrayParameters& p) {
    return fmt::format("no more than {} qlc drives may be missing", p.qlc_count - p.data_strips);
}

// Where an SCM drive is missing, and k QLC drives that were in, they could have gone on without
// these. So could k that are missing, some of which were out, if fewer than k that were in are
// here: each half of the drives would take back those that were out, but for one that stays out.
Status refuse_missing(const Discovery& d, const FoundEach& found,
                      const std::vector<Unusable>& absent) {
    const ArrayParameters& p = d.superblock.parameters;
    ScmSet scm;
    const MemberRecord* scm_missing = nullptr;
    std::uint32_t qlc = 0, stay_out = 0, others = 0, in_present = 0;
    for (const MemberDevice& m : d.members) {
        const bool is_in = m.record.state == MemberState::in;
        const bool there = m.record.kept_out == 0 && std::ranges::any_of(found, [&](const auto& f) {
                               return f->device == m.record.uuid;
                           });
        if (m.record.role == DeviceRole::scm) {
            scm[m.record.index] = there && is_in;
            if (!there && is_in) scm_missing = &m.record;
        } else if (there) {
            in_present += is_in ? 1 : 0;
        } else {
            others += is_in ? 1 : 0;
            stay_out += m.record.kept_out != 0 ? 1 : 0;
            if (p.qlc_count - ++qlc < p.data_strips)
                return missing(m.record, absent, most_missing(p).c_str());
        }
    }
    const bool whole = make_layout(p)->pmt_whole_on(scm);
    if (!whole && scm_missing != nullptr)
        return missing(*scm_missing, absent, why_scm_is_needed(p));
    if (!whole || scm.none()) {
        return fail(Errc::missing_device,
                    "no scm drive that is present has the newest writes, or the whole table; {}",
                    why_scm_is_needed(p));
    }
    const bool enough = in_present >= p.data_strips;
    if (scm_missing != nullptr &&
        (others >= p.data_strips || (qlc - stay_out >= p.data_strips && !enough)))
        return missing(*scm_missing, absent,
                       "with the qlc drives that are missing it may have gone on by itself");
    return {};
}

}  // namespace

Unusable kept_out(const std::string& path, const MemberRecord& member) {
    const bool removed = member.kept_out == MemberRecord::kRemoved;
    return {path,
            {Errc::stale_device,
             fmt::format("{}: it was {}", path,
                         removed ? "removed from the array; take its path out of the array file"
                                 : "taken out by `qlcshape fail`; replace it")},
            member.uuid};
}

Result<Discovery> discover(std::vector<std::unique_ptr<Device>>&& devices,
                           const std::vector<Unusable>& absent, IoQueue& queue) {
    if (devices.empty() && absent.empty()) {
        return fail(Errc::invalid_argument, "no devices are given: name those of the array");
    }
    const auto failed = [](const Unusable& u) { return u.why.code != Errc::missing_device; };
    if (devices.empty() && std::ranges::any_of(absent, failed)) {
        return fail(Errc::missing_device, "none of the array's devices can be used: {}",
                    names_of(absent));
    }
    if (devices.empty()) {
        return fail(Errc::missing_device,
                    "none of the array's devices is present ({}); is this the right array file, "
                    "and was the array created?",
                    names_of(absent));
    }
    QS_TRY(flush_caches(devices, queue));
    const FoundEach found = find_all(devices, queue);
    QS_TRY(check_each(devices, found));
    Discovery d;
    std::vector<const SeenSuperblock*> seen;
    for (const auto& f : found) seen.push_back(&*f);
    d.superblock = newest_superblock(seen);
    QS_TRY(check_histories(devices, found, d.superblock, queue));
    QS_TRY(refuse_former_members(devices, found, d.superblock));
    d.on_scm = newest_on_scm(found, d.superblock);
    QS_TRY(refuse_stale(devices, found, d.superblock, seen));
    d.members = members_of(d.superblock);
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const MemberRecord& member = member_of(d, found[i]->device).record;
        if (member.kept_out == 0)
            QS_TRY(refuse_truncated(*devices[i], member.role, d.superblock.parameters));
    }
    QS_TRY(refuse_missing(d, found, absent));
    // Each device becomes the member that its superblock says it is.
    for (std::size_t i = 0; i < devices.size(); ++i) {
        MemberDevice& member = member_of(d, found[i]->device);
        if (member.record.kept_out != 0) {
            d.kept_out.push_back(kept_out(devices[i]->path(), member.record));
            continue;
        }
        set_next_place(*found[i], d, member);
        member.device = std::move(devices[i]);
    }
    devices.clear();
    // Not given again: a drive that has no voice may have a record of that number.
    for (const auto& f : found)
        d.superblock.generation = std::max(d.superblock.generation, f->superblock.generation);
    return d;
}

Result<Returned> see_returned(std::unique_ptr<Device> device, const Superblock& newest,
                              IoQueue& queue) {
    std::vector<std::unique_ptr<Device>> one;
    one.push_back(std::move(device));
    const std::string& path = one[0]->path();
    QS_TRY(flush_caches(one, queue));
    const FoundEach found = find_all(one, queue, *make_layout(newest.parameters));
    if (!found[0])
        return fail(found[0].error().code, "{}", with_path(path, found[0].error().message));
    const FoundSuperblock& seen = *found[0];
    const bool same = seen.superblock.array == newest.array;
    const MemberRecord* const member = same ? find_member(newest, seen.device) : nullptr;
    if (member == nullptr || member->state != MemberState::out)
        return fail(Errc::foreign_device, "{}: it is no drive of the array that is out", path);
    if (member->kept_out != 0) return fail(kept_out(path, *member).why);
    QS_TRY(refuse_truncated(*one[0], member->role, newest.parameters));
    QS_TRY(refuse_standing(path, newest, *member, seen, 0));
    Discovery known;
    known.superblock = newest;
    Returned returned;
    returned.generation = seen.superblock.generation;
    MemberDevice& m = returned.member;
    m.record = *member;
    m.unit_bytes = unit_bytes_of(member->role, *make_layout(newest.parameters));
    set_next_place(seen, known, m);
    m.device = std::move(one[0]);
    return returned;
}

Result<Discovery> discover_usable(std::vector<std::unique_ptr<Device>> devices,
                                  std::vector<Unusable> absent, IoQueue& queue) {
    for (;;) {
        auto d = discover(std::move(devices), absent, queue);
        if (d || !leave_out_unwilling(devices, absent)) return d;
    }
}

bool leave_out_unwilling(std::vector<std::unique_ptr<Device>>& devices,
                         std::vector<Unusable>& absent) {
    if (std::ranges::all_of(devices, [](const auto& d) { return d->unwilling(); })) return false;
    const auto unwilling = [&](const std::unique_ptr<Device>& d) {
        if (!d->unwilling()) return false;
        const Io last = d->last_failed();
        const Error not_erased{Errc::io_error, d->path() + ": it can't be erased"};
        absent.push_back({d->path(), last.error_number == 0 ? not_erased : describe_failure(last)});
        return true;
    };
    return std::erase_if(devices, unwilling) != 0;
}

std::vector<DriveHistory> histories_of(const std::vector<SeenDrive>& drives, IoQueue& queue) {
    std::vector<DriveHistory> histories;
    for (const auto& [device, seen] : drives) {
        const Superblock& s = seen->superblock;
        histories.push_back({device->path(), {s.generation, s.epoch, s.epoch_key}, seen->records});
    }
    if (diverged_drives(histories).empty()) return histories;
    for (std::size_t i = 0; i < drives.size(); ++i) {
        const auto& [device, seen] = drives[i];
        const std::uint64_t bytes =
            make_layout(seen->superblock.parameters)->superblock_record_bytes;
        std::erase_if(histories[i].records, [&](const SuperblockMark& mark) {
            Uuid identity;
            return !read_firmly(*device, mark.offset, bytes, &identity, queue);
        });
    }
    return histories;
}

ArrayContext context_of(const Discovery& discovery) {
    const Superblock& s = discovery.superblock;
    ArrayContext array(*make_layout(s.parameters));
    array.array = s.array;
    array.epoch = s.epoch;
    array.epoch_key = s.epoch_key;
    array.shards = s.shards;
    array.qlc.resize(array.layout.p.qlc_count);
    array.scm.resize(array.layout.p.scm_count);
    array.scm_coming.resize(array.layout.p.scm_count);
    for (const MemberDevice& m : discovery.members) {
        if (m.record.role == DeviceRole::qlc)
            array.qlc.set(m.record.index, m.device.get());
        else if (m.record.state == MemberState::in)
            array.scm.set(m.record.index, m.device.get());
    }
    return array;
}

}  // namespace qlcshape
