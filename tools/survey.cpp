// SPDX-License-Identifier: Apache-2.0
#include "tools/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "base/patience.h"
#include "base/printable.h"
#include "device/device.h"
#include "engine/offline_queue.h"
#include "meta/membership.h"

namespace qlcshape::tools {

namespace {

// A process that has the array open appends superblocks while we go from drive to drive.
constexpr int kLooks = 3;

struct Opened {
    Candidate candidate;
    std::unique_ptr<Device> device;
    Result<SeenSuperblock> seen = std::unexpected(Error{});
};

SurveyedDevice device_of(const Opened& opened, std::string why = "") {
    return {opened.candidate, opened.device->geometry().capacity_bytes, std::move(why)};
}

// A drive that keeps a read for too long gets no more.
struct PatientQueue {
    PatientQueue() { queue.set_clock(io_clock, IoQueue::Late::copied); }
    SystemClock clock;
    IoClock io_clock{clock, std::chrono::nanoseconds(kCallPatience).count()};
    IoQueue queue;
};

// Superblocks of those devices, read again.
void see_again(std::vector<Opened*> devices) {
    PatientQueue patient;
    std::vector<std::unique_ptr<Device>> list;
    for (Opened* o : devices) list.push_back(std::move(o->device));
    auto seen = see_superblocks(list, patient.queue);
    for (std::size_t i = 0; i < list.size(); ++i) {
        devices[i]->device = std::move(list[i]);
        devices[i]->seen = std::move(seen[i]);
    }
}

std::vector<Opened> open_all(const std::vector<Candidate>& candidates, Survey& result) {
    std::vector<Opened> opened;
    for (const Candidate& candidate : candidates) {
        if (!candidate.answers) {
            result.unreadable.push_back({candidate, 0,
                                         fmt::format("{}: doesn't answer within {} s",
                                                     candidate.path, kCallPatience.count())});
            continue;
        }
        auto device = open_device(candidate.path, 0, Access::inspect, false);
        const bool small = !device && device.error().code == Errc::invalid_argument;
        if (device) {
            opened.push_back({candidate, std::move(*device)});
            see_again({&opened.back()});
        } else if (small && (candidate.named || candidate.block_device)) {
            result.foreign.push_back({candidate, 0, ""});
        } else if (!small) {
            result.unreadable.push_back({candidate, 0, device.error().message});
        }
    }
    return opened;
}

std::map<Uuid, std::vector<Opened*>> by_array(std::vector<Opened>& opened) {
    std::map<Uuid, std::vector<Opened*>> arrays;
    for (Opened& o : opened) {
        if (o.seen) arrays[o.seen->superblock.array].push_back(&o);
    }
    return arrays;
}

// A drive whose first block is damaged has superblocks at the place that the other drives of its
// array give.
void find_by_others(std::vector<Opened>& opened) {
    for (const auto& [array, members] : by_array(opened)) {
        std::vector<Opened*> devices{members.front()};
        for (Opened& o : opened) {
            if (!o.seen) devices.push_back(&o);
        }
        if (devices.size() > 1) see_again(std::move(devices));
    }
}

// Those of copies of the array that were opened by themselves.
std::set<const Opened*> diverged_of(const std::vector<Opened*>& devices) {
    PatientQueue patient;
    std::vector<SeenDrive> drives;
    for (const Opened* o : devices) drives.push_back({o->device.get(), &*o->seen});
    std::set<const Opened*> diverged;
    for (std::size_t i : diverged_drives(histories_of(drives, patient.queue)))
        diverged.insert(devices[i]);
    return diverged;
}

SurveyedArray sort_members(const std::vector<Opened*>& devices) {
    SurveyedArray array;
    const auto generation = [](const Opened* o) { return o->seen->superblock.generation; };
    const std::set<const Opened*> diverged = diverged_of(devices);
    // Only the array's own drives say what it is like.
    std::vector<const SeenSuperblock*> seen;
    for (const Opened* o : devices) {
        if (!diverged.contains(o) || diverged.size() == devices.size()) seen.push_back(&*o->seen);
    }
    array.superblock = newest_superblock(seen);
    for (const MemberRecord& record : array.superblock.members)
        array.members.emplace_back().record = record;
    std::ranges::sort(array.members, {}, [](const SurveyedMember& m) {
        return std::pair(m.record.role, m.record.index);
    });
    std::uint64_t on_scm = 0;
    for (const Opened* o : devices) {
        array.held |= o->device->held_elsewhere();
        const auto& members = array.superblock.members;
        const auto record = std::ranges::find(members, o->seen->device, &MemberRecord::uuid);
        if (record != members.end() && record->role == DeviceRole::scm && !diverged.contains(o))
            on_scm = std::max(on_scm, generation(o));
    }
    for (const Opened* o : devices) {
        const auto member = std::ranges::find_if(array.members, [&](const SurveyedMember& m) {
            return m.record.uuid == o->seen->device;
        });
        if (member == array.members.end()) {
            array.left.push_back(device_of(*o));
            continue;
        }
        member->devices.push_back(device_of(*o));
        const ArrayParameters& p = array.superblock.parameters;
        const bool qlc = member->record.role == DeviceRole::qlc;
        member->diverged |= diverged.contains(o);
        const Standing standing = standing_of(array.superblock, member->record, *o->seen, on_scm);
        member->diverged |= standing == Standing::diverged;
        member->older |= standing == Standing::older;
        member->cut_short |= member->devices.back().bytes < (qlc ? p.qlc_bytes : p.scm_bytes);
    }
    return array;
}

SurveyedArray survey_array(const std::vector<Opened*>& devices) {
    for (int looks = 1;; ++looks) {
        SurveyedArray array = sort_members(devices);
        const bool older = std::ranges::any_of(array.members, &SurveyedMember::older);
        if (!array.held || !older || looks == kLooks) return array;
        see_again(devices);
        if (std::ranges::any_of(devices, [](const Opened* o) { return !o->seen; })) return array;
    }
}

}  // namespace

std::string SurveyedArray::state() const {
    if (held) return "open";
    return superblock.state == ArrayState::clean ? "clean" : "crashed";
}

const char* SurveyedMember::fault() const {
    if (removed()) return "removed";
    if (failed()) return "taken out by `qlcshape fail`";
    if (devices.empty()) return "missing";
    if (cut_short) return "truncated";
    return diverged ? "from a copy of this array that was opened by itself"
                    : "older than the others";
}

std::string SurveyedArray::problem() const {
    std::string lost;
    std::string wrong;  // present, and of no use
    std::uint32_t qlc = 0;
    ScmSet scm;
    for (const SurveyedMember& m : members) {
        const bool is_scm = m.record.role == DeviceRole::scm;
        if (is_scm) scm[m.record.index] = m.usable() && m.record.state == MemberState::in;
        if (m.usable()) continue;
        if (m.devices.size() > 1) {
            return fmt::format(
                "{} drive {} is present twice, so the array can't be opened with both",
                to_string(m.record.role), m.record.index);
        }
        qlc += is_scm ? 0 : 1;
        if (m.removed()) continue;
        lost += fmt::format("{}{} drive {} is {}", lost.empty() ? "" : ", ",
                            to_string(m.record.role), m.record.index, m.fault());
        if (!m.devices.empty() && !m.failed())
            wrong += (wrong.empty() ? "" : ", ") + printable(m.devices.front().candidate.path);
    }
    if (lost.empty()) return "";
    const std::string restore =
        wrong.empty() ? "" : "; restore the array's own, current contents of " + wrong;
    const ArrayParameters& p = superblock.parameters;
    if (!pmt_whole_on(scm, p.scm_count, p.pmt_copies)) {
        return lost + ": it can't be opened because " +
               (p.pmt_copies == 1 ? "every scm drive is needed"
                                  : "the table is not whole without the scm drives that are lost") +
               restore;
    }
    if (const std::uint32_t most = p.qlc_count - p.data_strips; qlc > most) {
        return lost + fmt::format(
                          ": it can't be opened because at most {} qlc drives may be "
                          "missing{}",
                          most, restore);
    }
    if (wrong.empty()) return lost + ": degraded";
    return lost + ": degraded, it opens without " + wrong + " in the array file" + restore;
}

Survey survey(const std::vector<Candidate>& candidates) {
    Survey result;
    std::vector<Opened> opened = open_all(candidates, result);
    find_by_others(opened);
    for (const Opened& o : opened) {
        if (o.seen) continue;
        const Error& error = o.seen.error();
        if (error.code == Errc::io_error) {
            result.unreadable.push_back(device_of(o, error.message));
        } else if (error.code != Errc::foreign_device) {
            result.damaged.push_back(device_of(o, error.message));
        } else if (o.candidate.named || o.candidate.block_device) {
            result.foreign.push_back(device_of(o));
        }
    }
    for (const auto& [uuid, devices] : by_array(opened))
        result.arrays.push_back(survey_array(devices));
    return result;
}

}  // namespace qlcshape::tools
