// SPDX-License-Identifier: Apache-2.0
// A history whose end is random damage of the array's metadata, and what its next openings make of
// it: a clear refusal, media errors of single blocks where more is gone than redundancy covers, or
// right data. Older data only where nothing newer is left.
#include <fmt/format.h>

#include <algorithm>

#include "sim/sim_history.h"

namespace qlcshape::sim {

DamageResult History::run_damaged() {
    one_volume_ = true;
    Damage damage(world_, media_);
    if (!create()) return damage_result_;
    for (std::uint64_t lives = 1 + rng_.below(4); lives != 0 && result_.violation.empty();
         --lives) {
        cycle();
        if (lives != 1 && rng_.chance(1, 2)) damage.remember();
    }
    if (result_.violation.empty()) {
        world_.power_on();
        harm_ = damage.apply();
        damaged_ = true;
        crashed_ = !harm_.clean;
        damage_result_.damage = fmt::format("{}{}: {}", harm_.clean ? "clean" : "crashed",
                                            harm_.within ? ", within redundancy" : "", harm_.text);
        damage_result_.covered = !harm_.excuses_errors(crashed_) && harm_.pmt_stale.empty();
        world_.faults().counts().told(Fault::bit_rot);
    }
    bool serves = damaged_;
    for (std::uint32_t i = 0; i < 3 && serves; ++i) serves = look_at_damaged(i);
    static_cast<RunResult&>(damage_result_) = finish();
    return damage_result_;
}

// Opens, compares everything, writes, closes. False where no other look makes sense.
bool History::look_at_damaged(std::uint32_t number) {
    older_ |= harm_.excuses_older(crashed_);
    errors_ |= harm_.excuses_errors(crashed_);
    if (!open_damaged(number)) return false;
    if (harm_.superblock_lost && core_->volumes().empty()) return false;
    if (!find_volumes()) return false;
    Look look = Look::good;
    for (const auto& volume : volumes_) {
        if (look == Look::good) look = compare_damaged(*volume);
    }
    if (look == Look::wrong) return false;
    if (look == Look::good) load(rng_.chance(1, 2));
    damage_result_.out_of_space += core_->stats().cause.starts_with("because bands");
    if (!result_.violation.empty()) return false;
    if (!world_.dead() && rng_.chance(2, 3))
        close_clean();
    else
        crash();
    return result_.violation.empty();
}

// What excuses errors may be met at any time; a damaged page of the table once, for the next open
// builds it anew.
bool History::open_damaged(std::uint32_t number) {
    world_.power_on();
    world_.cut_after(0);
    world_.faults().begin_opening(true);
    if (errors_ || !harm_.pmt_stale.empty() || (harm_.pmt && number == 0))
        world_.faults().note_may_stop();
    ++damage_result_.opens;
    auto core = try_open();
    if (!core) {
        ++damage_result_.refusals;
        const std::string& refusal = core.error().message;
        // Much of a drive's part of the newest segments is wrong: it looks as it did before.
        const bool looks_older = harm_.stripes && crashed_ && refusal.starts_with("qlc") &&
                                 core.error().code == Errc::stale_device;
        if (!harm_.excuses_refusal(crashed_) && !looks_older) return violate("open: " + refusal);
        const bool names_place = refusal.find("qlc") != std::string::npos ||
                                 refusal.find("scm") != std::string::npos ||
                                 refusal.find("band ") != std::string::npos;
        if (!names_place) return violate("an open is refused and names no place: " + refusal);
        if (harm_.within && !harm_.pmt) open_without_refused(refusal);
        return false;
    }
    core_ = std::move(*core);
    before_ = core_->stats();
    if (crashed_ && harm_.tps_loss_shows && !harm_.superblocks)
        violate("it opened, though a record that was acknowledged is whole on no mirror");
    ++opened_;
    damage_result_.rebuilt += before_.recovery.kind == "full";
    if (table_met_damage_ && before_.recovery.kind != "full")
        violate("the table was damaged, and the next open trusts it: " + before_.recovery.kind);
    table_met_damage_ = false;
    harm_.tps_lost = harm_.tps_loss_shows = harm_.superblocks = false;  // there are new ones
    return result_.violation.empty();
}

// Drives that are refused by name, for their superblocks: without them it opens for reading.
void History::open_without_refused(std::string refusal) {
    for (int tries = 0; tries < 2; ++tries) {
        const auto named = std::ranges::find_if(
            media_, [&](const Media* m) { return refusal.starts_with(m->name + ":"); });
        if (named == media_.end()) return void(violate("a refusal without a drive: " + refusal));
        if (!(*named)->qlc) break;
        lost_.insert(static_cast<std::size_t>(named - media_.begin()));
        options_.read_only = true;
        auto core = try_open();
        options_.read_only = false;
        if (!core) {
            refusal = core.error().message;
            continue;
        }
        core_ = std::move(*core);
        before_ = core_->stats();
        ++damage_result_.opens;
        ++result_.degraded_opens;
        if (find_volumes()) compare_all(false);
        drop();
        break;
    }
    lost_.clear();
}

History::Look History::compare_damaged(SimVolume& volume) {
    constexpr std::uint64_t kAtOnce = 16 * kSectorsPerBlock;
    volume.oracle.prune_all();
    std::vector<std::uint64_t> seen(volume.sectors);
    for (std::uint64_t s = 0; s < volume.sectors;) {
        std::uint64_t n = std::min(kAtOnce, volume.sectors - s);
        Status outcome = read_now(volume, s, n);
        if (!outcome && stopped_by_damage()) return Look::stopped;
        if (!outcome) {  // a block whose neighbour is lost is there by itself
            n = kSectorsPerBlock;
            outcome = read_now(volume, s, n);
        }
        if (!outcome && stopped_by_damage()) return Look::stopped;
        if (!outcome) {
            ++result_.blocks_lost;
            if (!errors_ && !in_stale_page(volume, s))
                violate(fmt::format("sector {}: {}", s, outcome.error().message));
        }
        for (std::uint64_t i = 0; outcome && i < n; ++i) {
            const std::byte* data = ops_[0].data.data() + i * kSectorBytes;
            check_sector(volume, s + i, data);
            seen[s + i] = stamp_of(data, s + i).value_or(0);
        }
        if (!result_.violation.empty()) return Look::wrong;
        s += n;
    }
    if (older_ || errors_ || !harm_.pmt_stale.empty()) return Look::good;
    if (const std::uint64_t torn = volume.oracle.settle(seen); torn != 0) {
        violate(fmt::format("the atomic write {} is there in part", torn));
        return Look::wrong;
    }
    return Look::good;
}

// After a read that failed. What made it so takes some time to reach the media.
bool History::stopped_by_damage() {
    for (int i = 0; i < 5000; ++i) poll_something();
    if (!core_->failed()) return false;
    if (!may_stop()) violate("the engine stopped at a read");
    ++result_.stops;
    table_met_damage_ = !errors_;  // or it stopped for want of space
    return true;
}

bool History::in_stale_page(const SimVolume& volume, std::uint64_t sector) const {
    const Lba lba = volume.state->lba_of(sector * kSectorBytes);
    return harm_.pmt_stale.contains(page_of(lba).value);
}

void DamageResult::add(const DamageResult& o) {
    RunCounts::add(o);
    opens += o.opens;
    refusals += o.refusals;
    rebuilt += o.rebuilt;
    sectors_older += o.sectors_older;
    out_of_space += o.out_of_space;
    covered += o.covered;
}

DamageResult run_damaged(std::uint64_t seed) { return History(seed, Profile::cuts).run_damaged(); }

}  // namespace qlcshape::sim
