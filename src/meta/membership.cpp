// SPDX-License-Identifier: Apache-2.0
#include "meta/membership.h"

#include <algorithm>

#include "base/canary.h"

namespace qlcshape {

namespace {

// One of the SCM drives that are in by this superblock.
bool is_scm_in(const Superblock& by, const SeenSuperblock& seen) {
    const MemberRecord* m = find_member(by, seen.device);
    return m != nullptr && m->role == DeviceRole::scm && m->state == MemberState::in;
}

const Superblock* newest_of(const std::vector<const SeenSuperblock*>& seen, auto takes_part) {
    const Superblock* newest = nullptr;
    for (const SeenSuperblock* s : seen) {
        if (!takes_part(*s)) continue;
        if (newest == nullptr || newest->generation < s->superblock.generation)
            newest = &s->superblock;
    }
    return newest;
}

bool is_out(const Superblock& by, const Uuid& device) {
    const MemberRecord* m = find_member(by, device);
    return m != nullptr && m->state == MemberState::out;
}

}  // namespace

// The newest record says which SCM drives are in; they say which drives are out. What those say
// does not count: so it may be another record that is the newest.
Superblock newest_superblock(const std::vector<const SeenSuperblock*>& seen) {
    std::vector<const SeenSuperblock*> heard = seen;
    const Superblock* found = nullptr;
    const Superblock* on_scm = nullptr;
    while (!heard.empty()) {
        found = newest_of(heard, [](const SeenSuperblock&) { return true; });
        on_scm = newest_of(heard, [&](const SeenSuperblock& s) { return is_scm_in(*found, s); });
        if (on_scm == nullptr ||
            std::erase_if(heard, [&](const auto* s) { return is_out(*on_scm, s->device); }) == 0)
            break;
    }
    Superblock newest = *found;
    // One that came to no scm drive may not have come to all QLC drives either. Nobody relied on
    // it: who was out before it has perhaps not even got it.
    const bool in_force = on_scm == nullptr || on_scm->generation >= newest.generation;
    // An SCM drive that lacks what all had knows nothing of that: it is older, and refused.
    const bool knows = on_scm != nullptr && on_scm->generation >= newest.complete_generation;
    if (!in_force && knows && !canary(Canary::in_before_in_force)) newest.members = on_scm->members;
    const bool everywhere = std::ranges::all_of(seen, [&](const SeenSuperblock* s) {
        const MemberRecord* m = find_member(newest, s->device);
        return m == nullptr || m->state == MemberState::out ||
               s->superblock.generation == newest.generation;
    });
    if (!everywhere && !canary(Canary::clean_if_any)) newest.state = ArrayState::open;
    return newest;
}

namespace {

// Two records of one opening, the second of which says that everyone has the first: that opening
// came through. A drive that is out has at most one record of each opening that it took part in
// since, for that was cut off before the scm drives knew of it.
bool went_on(const SeenSuperblock& seen) {
    const Superblock& s = seen.superblock;
    return std::ranges::any_of(seen.records, [&](const SuperblockMark& mark) {
        return mark.generation == s.complete_generation && mark.epoch_key == s.epoch_key;
    });
}

}  // namespace

SuperblockMark left_with(const MemberRecord& member) {
    return {.generation = member.in_sync.counter, .epoch_key = member.left_key};
}

const SuperblockMark* find_record(const SeenSuperblock& seen, const SuperblockMark& mark) {
    const auto at = std::ranges::find_if(seen.records, [&](const SuperblockMark& r) {
        return r.generation == mark.generation && r.epoch_key == mark.epoch_key;
    });
    return at == seen.records.end() ? nullptr : &*at;
}

std::uint64_t newest_due(const Superblock& newest, const std::vector<const SeenSuperblock*>& seen,
                         const MemberRecord& member) {
    std::uint64_t due = 0;
    for (const SeenSuperblock* s : seen) {
        const MemberRecord* const then = find_member(s->superblock, member.uuid);
        if (is_scm_in(newest, *s) && then != nullptr && then->state == MemberState::in)
            due = std::max(due, s->superblock.generation);
    }
    return due;
}

Standing standing_of(const Superblock& newest, const MemberRecord& member,
                     const SeenSuperblock& seen, std::uint64_t on_scm) {
    const Superblock& s = seen.superblock;
    if (member.state == MemberState::out) {
        if (member.role == DeviceRole::scm) return Standing::out;  // all on it is written anew
        if (s.generation < member.in_sync.counter) return Standing::older;
        if (s.complete_generation > member.left_at && went_on(seen)) return Standing::diverged;
        const bool known = find_record(seen, left_with(member)) != nullptr;
        return known || canary(Canary::diverged_taken) ? Standing::out : Standing::diverged;
    }
    const bool behind = member.role == DeviceRole::qlc && s.generation < on_scm &&
                        !seen.newer_damaged && !canary(Canary::older_qlc_taken);
    return s.generation < newest.complete_generation || behind ? Standing::older
                                                               : Standing::current;
}

void goes_out(MemberRecord& member, const SuperblockMark& had, std::uint64_t newest) {
    member.state = MemberState::out;
    member.in_sync = {had.epoch, had.generation};
    member.left_key = had.epoch_key;
    member.left_at = newest;
}

void comes_in(MemberRecord& member) {
    member.state = MemberState::in;
    member.in_sync = {};
    member.left_at = member.left_key = 0;
    member.kept_out = 0;
}

bool take_stock(Superblock& superblock, std::vector<MemberDevice>& members,
                const SuperblockMark& had) {
    bool changed = false;
    for (std::size_t i = 0; i < members.size(); ++i) {
        MemberRecord& m = superblock.members[i];
        const MemberState before = m.state;
        const bool as_it_was = m.role == DeviceRole::scm && m.state == MemberState::out;
        if (members[i].device != nullptr && !as_it_was) {
            comes_in(m);
        } else if (m.state == MemberState::in) {
            goes_out(m, had, superblock.generation);
        }
        members[i].record = m;
        changed |= m.state != before;
    }
    return changed;
}

Status refuse_if_unreadable(const ArrayContext& array, const std::vector<BandRecord>& records,
                            std::uint64_t epoch) {
    const ArrayLayout& l = array.layout;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        if (!records[i].counts() || records[i].epoch > epoch) continue;
        const std::uint32_t there = array.columns_there(BandId(i));
        if (there >= l.p.data_strips) continue;
        const DriveSet named = array.columns->drives(BandId(i));
        std::string missing;
        for (std::uint32_t d = 0; d < array.qlc.size(); ++d) {
            if (named[d] && array.qlc[d] == nullptr)
                missing += fmt::format("{}{}", missing.empty() ? "" : ", ", d);
        }
        return fail(Errc::missing_device,
                    "of band {} there are {} of the {} strips that its data takes, without qlc "
                    "drives {}: reconnect {} of them (if it was closed cleanly, the array can be "
                    "opened read-only until then)",
                    i, there, l.p.data_strips, missing, l.p.data_strips - there);
    }
    return {};
}

std::vector<bool> named_slots(const ArrayContext& array, const std::vector<BandRecord>& records,
                              std::uint32_t drive) {
    std::vector<bool> named(array.layout.drive_slots());
    const auto has_columns = [&](BandId band) { return records[band.value].has_columns(); };
    find_named_slots(array, drive, has_columns, named);
    return named;
}

Status erase_unnamed(const ArrayContext& array, const std::vector<BandRecord>& records,
                     std::uint32_t drive, IoQueue& queue,
                     const std::function<void(double percent)>& progress) {
    constexpr std::size_t kAtOnce = 64;
    const ArrayLayout& l = array.layout;
    Device* const device = array.qlc[drive];
    const std::vector<bool> named = named_slots(array, records, drive);
    std::vector<Io> ios;
    for (std::uint32_t slot = kSuperblockUnits; slot < l.drive_slots(); ++slot) {
        if (!named[slot] && !canary(Canary::returned_not_erased)) {
            Io& io = ios.emplace_back();
            io.kind = IoKind::discard;
            io.point = PersistencePoint::keeper_discard;
            io.device = device;
            io.offset = l.slot_offset(slot);
            io.bytes = l.p.band_bytes;
        }
        if (ios.size() < kAtOnce && slot + 1 < l.drive_slots()) continue;
        QS_TRY(run(queue, ios));
        ios.clear();
        progress(100.0 * slot / l.drive_slots());
    }
    return flush_drives({&device, 1}, queue, PersistencePoint::open_flush);
}

}  // namespace qlcshape
