// SPDX-License-Identifier: Apache-2.0
// Opening: through power cuts, with drives missing, with a drive that missed writes; and comparing
// everything with the oracle.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "meta/superblock_store.h"
#include "sim/sim_history.h"
#include "sim/still_device.h"

namespace qlcshape::sim {

constexpr std::uint32_t kStampBits = 40;

void fill_sector(std::byte* data, std::uint64_t stamp, std::uint64_t sector) {
    const std::uint64_t word = sector << kStampBits | stamp;
    for (std::size_t i = 0; i < kSectorBytes; i += sizeof(word))
        std::memcpy(data + i, &word, sizeof(word));
}

std::optional<std::uint64_t> stamp_of(const std::byte* data, std::uint64_t sector) {
    std::uint64_t word;
    std::memcpy(&word, data, sizeof(word));
    if (std::memcmp(data, data + sizeof(word), kSectorBytes - sizeof(word)) != 0)
        return std::nullopt;
    if (word != 0 && word >> kStampBits != sector) return std::nullopt;
    return word & ((std::uint64_t{1} << kStampBits) - 1);
}

std::vector<std::unique_ptr<Device>> History::devices() {
    std::vector<std::unique_ptr<Device>> list;
    for (std::size_t i = 0; i < media_.size(); ++i) {
        if (lost_.contains(i) || away_.contains(i) || removed_.contains(i) ||
            media_[i] == away_scm_)
            continue;
        list.push_back(world_.device(*media_[i]));
        if (options_.read_only) list.back()->set_read_only();
    }
    return list;
}

std::unique_ptr<IoQueue> History::queue() {
    auto q = std::make_unique<IoQueue>();
    q->set_idle([this] {
        if (!world_.step()) world_.pass(kIoLimitNs / 30);
    });
    return q;
}

// A tiny PMT cache, another number of shards and another interval of snapshots each time.
Result<std::unique_ptr<Core>> History::try_open() {
    options_.shards = static_cast<std::uint32_t>(1 + rng_.below(max_shards_));
    options_.pmt_cache_bytes = options_.shards * PageCache::kSetBytes * (1 + rng_.below(2));
    Environment environment{world_,
                            rng_,
                            [this](std::vector<std::span<std::byte>>) { return queue(); },
                            [](std::uint32_t parts, const std::function<void(std::uint32_t)>& job) {
                                for (std::uint32_t part = 0; part < parts; ++part) job(part);
                            },
                            1 + rng_.below(40),
                            counted_pages_,
                            kept_findings_,
                            version_gap_,
                            &io_clock_};
    auto core = Core::open(options_, devices(), {}, environment);
    if (core) opened_with_ = (*core)->lifetime();
    return core;
}

bool History::open(bool quiet) {
    quiet_ = quiet;
    world_.faults().begin_opening(quiet);
    if (pmt_damaged()) world_.faults().note_may_stop();
    note_counters();
    if (goes_away() && opened_ != 0 && !options_.read_only && away_random_.chance(1, 6))
        away_random_.chance(1, 4) ? scm_leaves() : drive_leaves();
    if (away_scm_ != nullptr && !options_.read_only) behind_ = away_scm_;
    auto core = try_open();
    if (!core && must_come_back(core.error())) core = try_open();
    if (!core) {
        if (!may_stop()) violate("open: " + core.error().message);
        return false;
    }
    if (!away_.empty()) ++result_.away_opens;
    if (away_scm_ != nullptr) ++result_.scm_away;
    core_ = std::move(*core);
    if (!core_->read_only() && core_->array().scm_in_count() == 2) {
        result_.scm_returned += behind_ != nullptr ? 1 : 0;
        behind_ = tried_ = nullptr;
    }
    judge_counters();
    if (!core_->read_only()) may_be_clean_ = fresh_unheard_ = false;
    before_ = core_->stats();
    if (before_.recovery.kind == "snapshot") ++result_.snapshot_recoveries;
    if (before_.recovery.kind == "full") ++result_.full_recoveries;
    world_.faults().set_layout(core_->layout());
    return true;
}

// In the PMT nothing is redundant: the engine stops when it meets damage there, and the next open
// builds the table anew.
bool History::pmt_damaged() {
    if (opened_ == 0) return false;
    const Injector& faults = world_.faults();
    return std::any_of(media_.begin(), media_.end(), [&](const Media* m) {
        const std::uint64_t begin = faults.region_begin(*m, Region::pmt);
        return !m->qlc && m->damaged(begin, faults.region_end(*m, Region::pmt) - begin);
    });
}

// After a crash the table can be built from headers alone: without a snapshot, where a page is
// damaged (which recovery sees at once if it reads all of the table), or where nobody knows which
// pages count.
void History::spoil_table() {
    const ArrayLayout& l = world_.faults().layout();
    if (rng_.chance(1, 4)) return lose_bitmap();
    const bool page = counted_pages_ != 0 && rng_.chance(1, 2);
    const PageId id(rng_.below(l.pmt_pages));
    for (std::uint32_t i = 0; i < l.p.scm_count; ++i) {
        std::byte* scm = media_[l.p.qlc_count + i]->bytes.get();
        if (!page)
            std::memset(scm + l.snapshot_offset, 0, 2 * l.snapshot_bytes);
        else if (i == l.pmt_drive(id))
            scm[l.pmt_page_offset(id) + rng_.below(kBlockBytes)] ^= std::byte{1};
        else if (l.p.pmt_copies > 1)
            scm[l.pmt_page_offset(id, 1)] ^= std::byte{1};
    }
    if (page) spoilt_pages_.insert(id.value);
}

// One mirror of the TPS is lost while the power is off: the other one has all that was
// acknowledged, unless it is out.
void History::lose_mirror() {
    const ArrayLayout& l = world_.faults().layout();
    const std::set<std::uint32_t> out = StripeTruth(l, current()).scm_out();
    for (std::uint32_t i = 0; i < l.p.scm_count; ++i) {
        Media& m = *media_[qlc_drives() + i];
        const bool other_is_out = !out.empty() && !out.contains(i);
        if (m.weak && !other_is_out && (behind_ == nullptr || behind_ == &m))
            std::memset(m.bytes.get() + l.tps_offset, 0, l.tps_bytes);
    }
}

// An SCM drive that was out, and the superblocks that say that it is in.
void History::cut_while_filled() {
    const bool late = away_random_.chance(1, 2);
    const std::uint64_t nth = 1 + away_random_.below(late ? 8 : 40);
    world_.cut_at(late ? PersistencePoint::scm_superblock_write : PersistencePoint::resilver_write,
                  nth, away_random_.below(3));
}

// True when it is open, and everything in it is as it must be.
bool History::open_through_cuts() {
    if (opened_ != 0) note_settled();
    for (std::uint32_t tries = 0;; ++tries) {
        if (tries == 12) return violate("it opens no more");
        world_.power_on();
        judge_bitmap();
        const bool spoilt = crashed_ && !may_be_clean_ && rng_.chance(1, beyond() ? 2 : 6);
        if (spoilt) spoil_table();
        if (crashed_ && rng_.chance(1, tries == 0 ? 8 : 2)) lose_mirror();
        if (crashed_ && tries == 0) spoil_tail();
        const bool cut = opened_ != 0 && tries < 3 && rng_.chance(1, 2);
        world_.cut_after(0);
        if (cut && spoilt && rng_.chance(1, 2))
            plan_cut(400, PersistencePoint::table_build_write, PersistencePoint::table_build_flush);
        else if (cut && spoilt && rng_.chance(1, 2))
            plan_cut(400, PersistencePoint::table_bits_write, PersistencePoint::table_bits_flush);
        else if (cut && behind_ != nullptr && away_scm_ == nullptr && away_random_.chance(1, 2))
            cut_while_filled();
        else if (cut)
            plan_cut(400, PersistencePoint::open_flush, kLastPoint);
        if (open(opened_ == 0 || tries >= 4) && !world_.dead()) {
            world_.cut_after(0);
            if (opened_ == 0 && !make_first_volumes()) return false;
            if (!find_volumes()) return false;
            const Look look = compare_all(true);
            if (look == Look::wrong) return false;
            if (look == Look::good) break;
            ++result_.stops;
            // That the table is damaged is told on the media soon after; the power may go before.
            for (int i = 0; tries != 0 && i < 5000; ++i) poll_something();
            crash();
            continue;
        }
        const bool was_cut = world_.dead();
        if (core_) drop();
        if (!result_.violation.empty()) return false;
        crashed_ = true;
        if (was_cut) {
            ++result_.crashes;
            ++result_.crashes_in_recovery;
            cut_in(State::recovering);
            if (behind_ != nullptr && away_scm_ == nullptr) cut_in(State::resilvering);
        } else {
            ++result_.stops;
        }
    }
    ++opened_;
    note_removed();
    const States cut_in = std::exchange(cut_in_, {});
    if (before_.recovery.kind == "clean") return true;
    ++result_.recoveries;
    count_states(cut_in);
    judge_redundancy(Moment::recovered);
    return result_.violation.empty();
}

// Those that must be there are; those whose creation or deletion was cut off may be. An opening for
// reading decides nothing: the one drive that knows of a volume may be missing.
bool History::find_volumes() {
    std::erase_if(volumes_, [&](const std::unique_ptr<SimVolume>& v) {
        auto found = core_->volume(v->name);
        if (found) {
            if (core_->read_only() && v->maybe_sectors != 0) return false;
            v->state = *found;
            v->certain |= !core_->read_only();
            if (v->maybe_sectors != 0 && v->state->bytes() == v->maybe_sectors * kSectorBytes) {
                v->sectors = v->maybe_sectors;
                v->oracle.resize(v->sectors);
            }
            v->maybe_sectors = 0;
            if (v->state->bytes() != v->sectors * kSectorBytes)
                violate(fmt::format("volume {} has another size", v->name));
            return false;
        }
        if (v->certain) violate(fmt::format("volume {} is gone", v->name));
        return !core_->read_only();
    });
    for (const VolumeInfo& info : core_->volumes()) {
        if (std::none_of(volumes_.begin(), volumes_.end(),
                         [&](const auto& v) { return v->name == info.name; }))
            violate(fmt::format("volume {} is there again", info.name));
    }
    if (beyond() && block_of_.empty()) {
        for (std::uint64_t b = 0; b < volumes_[0]->sectors / kSectorsPerBlock; ++b)
            block_of_[volumes_[0]->state->lba_of(b * kBlockBytes).value] = b;
    }
    return result_.violation.empty();
}

void History::check_sector(const SimVolume& volume, std::uint64_t sector, const std::byte* data) {
    const auto stamp = stamp_of(data, sector);
    if (stamp && volume.oracle.allowed(sector, *stamp)) return;
    if (stamp && *stamp <= stamp_ && (older_ || in_stale_page(volume, sector))) {
        ++damage_result_.sectors_older;
        return;
    }
    violate(fmt::format("volume {} sector {} reads {}, allowed: {}", volume.name, sector,
                        stamp ? std::to_string(*stamp) : "a mixture, or another place's",
                        volume.oracle.expected(sector)));
}

// With `settle` what is seen must stay: recovery has decided.
History::Look History::compare_all(bool settle) {
    for (const auto& volume : volumes_) {
        if (!volume->state) continue;
        const Look look = compare(*volume, settle);
        if (look != Look::good) return look;
    }
    return Look::good;
}

History::Look History::compare(SimVolume& volume, bool settle) {
    volume.oracle.prune_all();
    std::vector<std::uint64_t> seen(volume.sectors);
    const Buffer& buffer = ops_[0].data;
    for (std::uint64_t s = 0; s < volume.sectors;) {
        const std::uint64_t most = reads_inline() ? kLargestHere : kLargest;
        std::uint64_t n = std::min(most / kSectorBytes, volume.sectors - s);
        Status outcome = read_now(volume, s, n);
        if (!outcome && !world_.dead() && volume.oracle.may_be_lost(s, n)) {
            n = kSectorsPerBlock;  // its neighbours are there
            outcome = read_now(volume, s, n);
        }
        if (!result_.violation.empty()) return Look::wrong;
        if (!outcome && !world_.dead() && volume.oracle.may_be_lost(s, n)) {
            ++result_.blocks_lost;
            for (const std::uint64_t end = s + n; s < end; ++s) seen[s] = kLost;
            continue;
        }
        if (!outcome && may_stop()) return Look::stopped;
        if (!outcome) {
            violate("read after open: " + outcome.error().message);
            return Look::wrong;
        }
        for (std::uint64_t i = 0; i < n; ++i) {
            check_sector(volume, s + i, buffer.data() + i * kSectorBytes);
            seen[s + i] = stamp_of(buffer.data() + i * kSectorBytes, s + i).value_or(0);
        }
        if (!result_.violation.empty()) return Look::wrong;
        s += n;
    }
    if (!settle) return Look::good;
    if (const std::uint64_t torn = volume.oracle.settle(seen); torn != 0) {
        violate(fmt::format("the atomic write {} is there in part", torn));
        return Look::wrong;
    }
    return Look::good;
}

// Into the first operation's buffer.
Status History::read_now(SimVolume& volume, std::uint64_t sector, std::uint64_t sectors) {
    read_finished_ = false;
    Request request{Op::read, sector * kSectorBytes, sectors * kSectorBytes, ops_[0].data.data(),
                    [this](Status status) {
                        read_outcome_ = std::move(status);
                        read_finished_ = true;
                    }};
    if (read_inline(volume, request)) return {};
    const Status taken = core_->submit(*volume.state, std::move(request));
    if (!taken) {
        violate("read after open was not taken: " + taken.error().message);
        return taken;
    }
    for (std::uint64_t i = 0; !read_finished_; ++i) {
        poll_something();
        if (i < 2000000) continue;
        violate("a read after open never ends");
        return fail(Errc::io_error, "it never ends");
    }
    return read_outcome_;
}

// Opens read-only, perhaps without some QLC drives, and reads everything: after a crash, too. The
// device layer asserts that nothing is written.
void History::look_read_only(std::set<std::size_t> lost) {
    world_.power_on();
    world_.cut_after(0);
    const bool crashed = crashed_;
    options_.read_only = true;
    const auto away = std::exchange(away_, {});
    Media* const away_scm = std::exchange(away_scm_, nullptr);
    if (!readable_without(lost)) lost.clear();
    lost_ = std::move(lost);
    if (open(true)) {
        ++result_.degraded_opens;
        if (find_volumes()) compare_all(false);
        drop();
    }
    crashed_ = crashed;  // nothing was written
    options_.read_only = false;
    lost_.clear();
    away_ = away;
    away_scm_ = away_scm;
}

// Weak drives among them: no more than two drives may be wrong or missing.
void History::degraded_episode() {
    if (pmt_damaged()) return;
    if (crashed_ && !may_be_clean_ && rng_.chance(1, 4)) spoil_table();
    // Twice, for what can be proved without one drive can't be without another.
    for (int look = 0; look < 2 && result_.violation.empty(); ++look) {
        std::set<std::size_t> lost = weak_qlc_;
        while (lost.size() < 2) lost.insert(rng_.below(qlc_drives()));
        if (rng_.chance(1, 3)) lost.erase(lost.begin());
        if (rng_.chance(1, 4) || blocks_lost_ || !unmended_.empty()) lost.clear();
        look_read_only(std::move(lost));
    }
}

// An SCM drive that is out is filled anew, whatever it holds.
bool History::scm_is_out(std::size_t drive) const {
    IoQueue q;
    const auto d = discover(still_devices(media_), {}, q);
    if (!d) return false;
    const MemberRecord& member = d->members[drive].record;
    return member.role == DeviceRole::scm && member.state == MemberState::out;
}

// A drive comes back as it was before the array was opened without it: it must be refused.
void History::stale_episode() {
    if (!image_) {
        image_of_ = rng_.below(media_.size());
        Media& m = *media_[image_of_];
        image_ = std::make_unique<Media>(m.name, m.capacity(), m.geometry.volatile_cache,
                                         m.discard_clears);
        image_->qlc = m.qlc;
        m.flushed(UINT64_MAX);
        std::memcpy(image_->bytes.get(), m.bytes.get(), m.capacity());
        image_opened_ = opened_;
        return;
    }
    if (opened_ == image_opened_ || scm_is_out(image_of_)) return;
    Media& m = *media_[image_of_];
    m.flushed(UINT64_MAX);
    // One that went while it was opened, before it was told of that opening, is as it was.
    const ArrayLayout& l = world_.faults().layout();
    if (StripeTruth(l, {&m}).generation() == StripeTruth(l, {image_.get()}).generation()) return;
    std::swap(m.bytes, image_->bytes);
    world_.power_on();
    world_.cut_after(0);
    world_.faults().begin_opening(true);
    world_.faults().counts().told(Fault::stale_member);
    auto core = try_open();
    if (core) {
        core_ = std::move(*core);
        violate(fmt::format("it opened with {} as it was {} openings ago", m.name,
                            opened_ - image_opened_));
        drop();
    } else if (core.error().code != Errc::stale_device ||
               !core.error().message.starts_with(m.name)) {
        violate("not refused as stale: " + core.error().message);
    }
    std::swap(m.bytes, image_->bytes);
    image_.reset();
}

// The newest superblock of one QLC drive is damaged: either an older one of the same epoch will do,
// or the drive is refused by name and the array opens without it.
void History::superblock_episode() {
    std::set<std::size_t> lost = weak_qlc_;
    if (lost.empty()) lost.insert(rng_.below(qlc_drives()));
    lost = {*lost.begin()};
    Media& m = *media_[*lost.begin()];
    m.flushed(UINT64_MAX);
    std::uint64_t newest = 0, at = 0;
    const std::uint64_t end = world_.faults().region_end(m, Region::superblock);
    for (std::uint64_t offset = 0; offset < end; offset += kBlockBytes) {
        const auto peek = peek_superblock({m.bytes.get() + offset, kBlockBytes});
        if (!peek || peek->generation < newest) continue;
        newest = peek->generation;
        at = offset;
    }
    if (newest == 0 || m.damaged(at, kBlockBytes)) return;
    std::byte& spoilt = m.bytes.get()[at + rng_.below(kBlockBytes)];
    const std::byte right = spoilt;
    spoilt ^= std::byte{0x10};
    world_.faults().counts().told(Fault::bad_superblock);
    world_.power_on();
    world_.cut_after(0);
    world_.faults().begin_opening(true);
    if (pmt_damaged()) return void(spoilt = right);
    auto core = try_open();
    if (core) {
        core_ = std::move(*core);
        before_ = core_->stats();
        if (find_volumes()) compare_all(false);
        crash();
        return;
    }
    const bool named = core.error().message.starts_with(m.name);
    // Without its first superblock a drive's others are looked for at several places, so a strip
    // that can't be read is in the way, too.
    const Errc code = core.error().code;
    const bool explained = code == Errc::damaged || code == Errc::stale_device ||
                           (code == Errc::io_error && m.unreadable(0, m.capacity()));
    if (!named || !explained) violate("a damaged superblock: " + core.error().message);
    look_read_only(lost);
    spoilt = right;
}

}  // namespace qlcshape::sim
