// SPDX-License-Identifier: Apache-2.0
// A drive is replaced while the array is open: what both kinds have in common, and QLC drives; for
// SCM drives see core_fill.cpp. Of a QLC drive nothing is copied: bands lose the column that the
// old drive had, and get another on the new one (upkeep/healer.h).
//
//   who                 what                                a cut here, and the next opening
//   ------------------  ----------------------------------  --------------------------------------
//   begin_replace()     the new drive is checked, erased    as if nothing had been
//                       the old one is out                  without it, or takes it back
//   keeper              no band names it any more           likewise, and erases all of it
//   advance_replace()   every worker has begun a poll:      likewise
//                       nobody has an old place in mind
//   come_in()           superblock: the new one is in the   some QLC drives have it: likewise. An
//                       place of the old one                SCM drive has it: the new one is a
//                                                           member, and holds nothing
//                       everyone sees it: bands that are    as after any opening
//                       opened have columns there
//
// Of a closed array see replace.h.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/canary.h"
#include "engine/core.h"
#include "engine/format_array.h"
#include "engine/limits.h"
#include "engine/monitor.h"
#include "engine/replace.h"
#include "engine/report.h"
#include "meta/membership.h"

namespace qlcshape {

namespace {

// However it was written; as far as the folder is the one in which it was.
std::string whole(const std::string& path) {
    std::error_code failed;
    const auto absolute = std::filesystem::absolute(path, failed);
    return failed ? path : absolute.lexically_normal().string();
}

}  // namespace

Result<std::size_t> Core::member_named(const std::string& word) const {
    const Locked lock(shown_mutex_);
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const MemberDevice& m = members_[i];
        const std::string path = path_of(m, all_of(members_), options_.devices, absent_);
        if (m.record.uuid.to_string() == word || (!path.empty() && whole(path) == whole(word)))
            return i;
    }
    return fail(Errc::not_found,
                "{}: array {} has no such drive; name it by its UUID, which `qlcshape status` "
                "shows",
                word, superblock_.name);
}

Result<std::size_t> Core::member_to_change(const std::string& word) const {
    if (read_only_) return fail(Errc::read_only, "array {}: it is open read-only", name());
    return member_named(word);
}

// Of the one that is to come in.
Status Core::takes_no_writes() const {
    const MemberRecord& old = members_[replacing_->member].record;
    const Device& fresh = *replacing_->fresh.device;
    const char* const what = to_string(old.role);
    if (replacing_->returns) {
        return fail(Errc::io_error, "{}: it takes no writes; {} drive {} stays out; {}",
                    fresh.path(), what, old.index, fresh.last_failure());
    }
    const bool in = superblock_.members[replacing_->member].state == MemberState::in;
    return fail(Errc::io_error, "{}: it takes no writes, and is not a member; {} drive {} {}; {}",
                fresh.path(), what, old.index, in ? "stays in its place" : "is out",
                fresh.last_failure());
}

// Another member that was not there when the array was opened may be now.
Status Core::refuse_members(const std::vector<std::unique_ptr<Device>>& fresh, const Uuid& old,
                            IoQueue& queue) const {
    const auto seen = see_superblocks(fresh, queue, array_.layout);
    if (!seen[0] || seen[0]->superblock.array != array_.array || seen[0]->device == old) return {};
    const bool known = std::ranges::any_of(
        members_, [&](const MemberDevice& m) { return m.record.uuid == seen[0]->device; });
    if (!known) return {};
    return fail(Errc::duplicate_device, "{}: it is a drive of the array already", fresh[0]->path());
}

// Those who leave then.
Result<MemberSet> Core::check_replacement(std::size_t member, const Device& fresh) const {
    const MemberRecord& m = superblock_.members[member];
    if (stopped_) return fail(Errc::closed, "array {}: it is being closed", superblock_.name);
    QS_TRY(check_fresh(fresh, m.role, array_.layout.p));
    QS_TRY(refuse_if_stopped());
    MemberSet who = leaving();
    const bool in = m.state == MemberState::in;
    if (in) who.set(member);
    if (can_go_on_without(who)) return who;
    return cant_go(m);
}

// By an attempt to take it that was cut off.
bool Core::was_claimed(const std::vector<std::unique_ptr<Device>>& fresh, IoQueue& queue) const {
    const auto seen = see_superblocks(fresh, queue, array_.layout);
    return seen[0] && seen[0]->superblock.array == array_.array && is_claimed(*seen[0]);
}

std::unexpected<Error> Core::cant_go(const MemberRecord& m) const {
    if (m.role == DeviceRole::scm) {
        return fail(
            Errc::missing_device,
            "array {}: scm drive {} has what no other scm drive has{}; it can't be replaced, or "
            "taken out",
            name(), m.index,
            array_.layout.p.pmt_copies == 1
                ? ": the array was created with one copy of the table (pmt_copies = 1)"
                : ", since another one is missing");
    }
    return fail(Errc::missing_device,
                "array {}: there are bands that can't be read without qlc drive {}, or the other "
                "drives are too few: reconnect those that are missing, and wait until `qlcshape "
                "status` says that protection.none and .one are 0",
                name(), m.index);
}

// It goes out as one that fails.
Status Core::part_with(const MemberSet& who) {
    if (who.none()) return {};
    replacing_->parts = true;
    begin_leaving(who);
    const Status written = write_superblock();
    replacing_->parts = false;
    return written;
}

// One at a time.
Status Core::begin_replacing(const std::string& path, const std::function<Status()>& begin) {
    if (read_only_) return fail(Errc::read_only, "array {}: it is open read-only", name());
    if (replaces_.exchange(true)) {
        return fail(Errc::busy,
                    "array {}: another drive is being replaced, comes back, or is given up for "
                    "good; wait for its end",
                    name());
    }
    const Status begun = within_limits(path, begin);
    if (!begun) end_replacing();
    return begun;
}

// From here on it is under way. What takes memory is done before.
void Core::show_replacing(std::unique_ptr<Replacing> r) {
    r->polls.reserve(workers_.size());
    r->shown.role = to_string(r->fresh.record.role);
    r->shown.index = r->fresh.record.index;
    r->shown.from = path_of(members_[r->member], all_of(members_), options_.devices, absent_);
    r->shown.to = r->fresh.device->path();
    r->began_ns = environment_.clock.now_ns();
    const Locked shown(shown_mutex_);
    former_.reserve(former_.size() + 2);
    options_.devices.reserve(options_.devices.size() + 1);
    replacing_ = std::move(r);
}

Status Core::begin_replace(const std::string& old, std::unique_ptr<Device> fresh, bool force) {
    return begin_replacing(fresh->path(), [&]() -> Status {
        const auto member = member_named(old);
        if (!member) return fail(member.error());
        {
            const Locked lock(control_mutex_);
            QS_TRY(check_replacement(*member, *fresh));
        }
        // Nobody waits for these: a queue of its own.
        const auto queue = make_queue({}, IoQueue::Late::copied);
        const ArrayLayout& l = array_.layout;
        std::vector<std::unique_ptr<Device>> one;
        one.push_back(std::move(fresh));
        if (!force && !was_claimed(one, *queue)) QS_TRY(check_empty(*one[0], *queue));
        MemberDevice erased;
        erased.record = members_[*member].record;
        const bool scm = erased.record.role == DeviceRole::scm;
        erased.unit_bytes = scm ? l.scm_superblock_unit_bytes : l.qlc_superblock_unit_bytes;
        QS_TRY(refuse_members(one, erased.record.uuid, *queue));
        erased.device = std::move(one[0]);
        QS_TRY(erase_drive(erased, l, *queue));
        const Locked lock(control_mutex_);
        QS_TRY(claim_drive(superblock_, erased, *queue));
        const auto who = check_replacement(*member, *erased.device);
        if (!who) return fail(who.error());
        auto r = std::make_unique<Replacing>();
        r->member = *member;
        r->fresh = std::move(erased);
        show_replacing(std::move(r));
        if (scm) {
            begin_coming();
        } else {
            QS_TRY(part_with(*who));
            keeper_->forget_drive(replacing_->fresh.record.index);
        }
        wake_workers();
        return {};
    });
}

bool Core::advance_replace() {
    Replacing& r = *replacing_;
    const auto done_with = [&](Status outcome) {
        r.outcome = std::move(outcome);
        if (r.returns && !r.scm() && !*r.outcome) keeper_->give_up_bringing_back();
        return is_over();
    };
    if (r.outcome) return is_over();
    if (failed() || halted()) {
        return done_with(
            fail(Errc::io_error, "array {}: it stopped {}; {}", name(), cause(), remedy()));
    }
    // The keeper does not begin it any more.
    if (stopped_) {
        return done_with(fail(Errc::closed,
                              "array {}: it is being closed; the new {} drive {} is no member",
                              name(), to_string(r.fresh.record.role), r.fresh.record.index));
    }
    const Device& fresh = *r.fresh.device;
    const bool ready = r.scm() ? filled() : r.returns ? !keeper_->comes_back() : forgotten();
    if (r.outcome) return is_over();
    const bool refuses = r.scm() ? fresh.missed() || fresh.leaves()
                                 : r.returns && (keeper_->back_refused() || fresh.refuses());
    if (refuses) return done_with(in_words(Errc::no_memory, [this] { return takes_no_writes(); }));
    if (!ready) return false;
    const Locked lock(control_mutex_);
    return done_with(in_words(Errc::no_memory, [this] { return come_in(); }));
}

// The keeper has to leave a drive that does not come back after all. One that can't go on never
// does, nor does any drive come back then.
bool Core::is_over() const { return !keeper_->comes_back() || failed() || halted(); }

// Since the first call that returned false.
bool Core::everyone_polled(std::vector<std::uint64_t>& polls) {
    if (polls.empty()) {
        for (const auto& worker : workers_) polls.push_back(worker->polls());
        wake_workers();
        return false;
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        if (workers_[i]->polls() == polls[i]) return false;
    }
    polls.clear();
    return true;
}

bool Core::forgotten() {
    if (keeper_->forgets() && !canary(Canary::replaced_before_forgotten)) return false;
    return everyone_polled(replacing_->polls);
}

// Everyone but opening bands does without it, or it has all that the others have.
Status Core::come_in() {
    const std::size_t member = replacing_->member;
    MemberDevice& other = replacing_->fresh;  // until they are exchanged
    if (replacing_->scm()) {
        const auto who = check_replacement(member, *other.device);
        if (!who) return fail(who.error());
        // Once more where its superblock goes: before the old one is out.
        if (!replacing_->returns && !erase_drive(other, array_.layout, *control_))
            return takes_no_writes();
        QS_TRY(part_with(*who));
    }
    const MemberRecord before = superblock_.members[member];
    if (replacing_->returns) {
        other.record = before;
        comes_in(other.record);
        if (!others_are_enough(array_.drives_in())) other.record.drains = 0;
    } else {
        other.record = new_member(array_.layout.p, before.role, before.index, *other.device,
                                  environment_.random);
    }
    other.replaces = before;
    if (replacing_->scm())
        other.comes_in = true;
    else
        QS_TRY(prepare_qlc(other));
    return join(other);
}

Status Core::prepare_qlc(MemberDevice& other) {
    Device& fresh = *other.device;
    if (replacing_->returns) {  // what was erased on it is to be durable
        Device* const drive = &fresh;
        if (!flush_drives({&drive, 1}, *control_, PersistencePoint::open_flush))
            return takes_no_writes();
        return {};
    }
    fresh.guard_shape(array_.layout.p.strip_bytes, array_.layout.p.band_bytes);
    for (std::uint32_t slot = kSuperblockUnits; slot < array_.layout.drive_slots(); ++slot)
        fresh.guard()->set_position(slot, 0);
    follow_former(fresh);
    return {};
}

// Before anybody uses it in that place.
void Core::follow_former(Device& fresh) {
    fresh.set_watched();
    Device* const former = members_[replacing_->member].device.get();
    if (former != nullptr) fresh.flushes().continue_from(former->flushes());
}

// Where it does not take its record the one before stays a member.
Status Core::join(MemberDevice& other) {
    MemberDevice& m = members_[replacing_->member];
    MemberRecord& in_superblock = superblock_.members[replacing_->member];
    const MemberRecord before = in_superblock, record = other.record;
    Device& fresh = *other.device;
    // What takes memory is done before.
    const std::string old_path = path_of(m, all_of(members_), options_.devices, absent_);
    std::string new_path = fresh.path();
    const auto exchange = [&] {
        const Locked lock(shown_mutex_);
        std::swap(m, other);
        replacing_->joins = !replacing_->joins;
    };
    exchange();
    in_superblock = record;
    const Status written = write_superblock();
    const bool in = in_superblock.uuid == record.uuid && in_superblock.state == MemberState::in;
    if (!written || !in) {
        in_superblock = before;
        exchange();
        if (!written && gate_->failed()) {
            return fail(written.error().code,
                        "{}; {} may be a member or not: close the array and open it again with one "
                        "or the other, then `qlcshape status` tells",
                        written.error().message, fresh.path());
        }
        QS_TRY(written);
        return takes_no_writes();
    }
    m.replaces.reset();
    {
        const Locked lock(shown_mutex_);
        replacing_->joins = false;
        if (other.device != nullptr) former_.push_back(std::move(other.device));
        std::erase_if(absent_, [&](const Unusable& u) { return u.path == old_path; });
        const auto named = std::ranges::find(options_.devices, old_path, &DeviceOptions::path);
        if (named != options_.devices.end()) {
            std::swap(named->path, new_path);
        } else {  // in a place that was vacant, and that the array file does not name any more
            DeviceOptions& added = options_.devices.emplace_back();
            added.role = record.role == DeviceRole::qlc ? Role::qlc : Role::scm;
            added.path.swap(new_path);
        }
        std::erase_if(spares_, [&](const DeviceStatus& s) { return s.path == fresh.path(); });
    }
    use(fresh, record);
    return {};
}

// Bands that are opened have columns there, and the others are to get some. From an SCM drive is
// read.
void Core::use(Device& fresh, const MemberRecord& record) {
    if (record.role == DeviceRole::scm) return array_.scm.set(record.index, &fresh);
    record.drains != 0 ? fresh.set_draining() : fresh.set_in();
    array_.qlc.set(record.index, &fresh);
    bands_->end_open([this](BandId band) { return array_.is_narrow(band); });
    gate_->start();  // GC makes up first for the bands that ended early
    bands_->drive_came();
    begin_rebuild();
    wake_workers();
}

// How much of what lacks the drives that are there has been rebuilt is counted from here.
void Core::begin_rebuild() {
    const RebuildBegun begun{narrow_bands(), environment_.clock.now_ns()};
    const Locked lock(shown_mutex_);
    rebuild_begun_ = begun;
}

void Core::end_replacing() {
    std::unique_ptr<Replacing> ended;  // a drive may take long to close
    {
        const Locked lock(control_mutex_);
        const Locked shown(shown_mutex_);
        ended = std::move(replacing_);
    }
    ended.reset();
    replaces_ = false;
}

Result<MemberRecord> Core::finish_replace() {
    MemberDevice& left = replacing_->fresh;
    const MemberRecord now = members_[replacing_->member].record;
    const Status outcome = std::move(*replacing_->outcome);
    const bool returns = replacing_->returns;
    if (replacing_->scm())
        end_coming();
    else if (returns && !outcome)
        give_up_returning();
    if (outcome) {
        with_memory([&] {
            log(options_, returns ? LogLevel::warning : LogLevel::info, "{}: {} {} drive {} {}",
                members_[replacing_->member].device->path(), returns ? "it was out;" : "it is",
                to_string(now.role), now.index,
                !returns                      ? "now"
                : now.role == DeviceRole::scm ? "is in again, and has all that the other ones have"
                                              : "is in again, and what it missed is rebuilt");
        });
    }
    if (left.device != nullptr && left.device->watched()) {  // it may be in use
        const Locked lock(shown_mutex_);
        former_.push_back(std::move(left.device));
    }
    end_replacing();
    if (!outcome) return fail(outcome.error());
    return now;
}

}  // namespace qlcshape
