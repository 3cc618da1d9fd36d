// SPDX-License-Identifier: Apache-2.0
// How an opening ends: in a power cut, or closed in order and judged by check.
#include <fmt/format.h>

#include <algorithm>

#include "recovery/check.h"
#include "sim/sim_history.h"

namespace qlcshape::sim {

void History::crash() {
    note_state();
    if (world_.dead() || !rng_.chance(1, 3)) {
        world_.cut();
        ++result_.crashes;
    } else {
        world_.kill();
        ++result_.kills;
    }
    drop();
    judge_redundancy(Moment::crashed);
}

// Ends an opening whose power or process is gone: everything in flight has failed.
void History::drop() {
    note_behind();
    world_.cut();
    for (int round = 0; round < 20000; ++round) {
        bool any = false;
        for (const auto& w : core_->workers()) any |= w->poll(core_->phase());
        if (!any && round > 10) break;
        // What waits for an SCM drive to leave fails, since nothing can go on.
        if (core_->array().drive_leaves()) core_->look_at_drives();
    }
    crashed_ = true;
    forget_opening();
    look_for_fresh();
}

void History::forget_opening() {
    const Stats after = core_->stats();
    result_.bands_moved += after.gc.bands_moved - before_.gc.bands_moved;
    result_.bands_rebuilt += after.rebuild.bands_rebuilt - before_.rebuild.bands_rebuilt;
    result_.snapshots += after.pmt.snapshots;
    result_.verify_failed += after.errors.verify_failed - before_.errors.verify_failed;
    result_.reconstructed += after.errors.reconstructed - before_.errors.reconstructed;
    result_.commit_retries += after.errors.commit_retries - before_.errors.commit_retries;
    // No call is ever held here.
    if (core_->halted()) violate("it halted " + core_->cause());
    const LifetimeCounters totals = core_->lifetime();
    for (std::size_t i = 0; i < kCounters; ++i) counted_[i] += totals[i] - opened_with_[i];
    for (const auto& v : volumes_) v->state.reset();
    forget_images_of_out();
    core_.reset();
    returning_.reset();
    spreading_ = false;
    mended_.clear();
    changes_.clear();
    gone_.clear();
    for (SimOp& op : ops_) op.busy = false;
}

void History::close_clean() {
    if (replace_random_.chance(1, 2)) finish_replacing();
    if (world_.dead()) return crash();
    if (rng_.chance(1, 4)) plan_cut(200, PersistencePoint::tps_write, kLastPoint);
    for (std::uint64_t i = 0; !core_->advance_close(); ++i) {
        advance_replacing();
        poll_something();
        if (world_.dead()) return crash();
        if (i <= 20000000) continue;
        violate(fmt::format("closing hangs in phase {}", static_cast<int>(core_->phase())));
        return crash();
    }
    may_be_clean_ = true;
    const LifetimeCounters totals = core_->lifetime();
    const Status closed = core_->finish_close();
    if (world_.dead()) return crash();
    if (!closed) {
        if (!may_stop()) violate("close: " + closed.error().message);
        ++result_.stops;
        return crash();
    }
    ++result_.clean_closes;
    note_behind();
    raise_counters(durable_, totals);
    world_.cut_after(0);
    if (rng_.chance(1, 2) || world_.keeps_any()) world_.cut();  // what was closed is durable
    world_.power_on();
    forget_opening();
    crashed_ = false;
    judge();
}

// The offline check of a cleanly closed array finds nothing; after faults it finds strips that can
// be rebuilt and damaged pages of the table, and nothing else.
void History::judge() {
    if (older_ || errors_ || !harm_.pmt_stale.empty()) return;  // nobody knows what it should find
    ++result_.judged;
    world_.faults().rest();
    auto q = queue();
    const auto away = std::exchange(away_, {});  // they are looked at, too
    Media* const away_scm = std::exchange(away_scm_, nullptr);
    auto discovery = discover(devices(), {}, *q);
    away_ = away;
    away_scm_ = away_scm;
    if (!discovery) return void(violate("discover: " + discovery.error().message));
    const ArrayContext array = context_of(*discovery);
    auto report = check_array(array, discovery->superblock, *q, {});
    if (!report) return void(violate("check: " + report.error().message));
    const auto& faults = world_.faults().counts().of;
    const bool spoilt = std::any_of(faults.begin(), faults.end(),
                                    [](const FaultCount& c) { return c.injected != 0; });
    for (const std::string& problem : report->problems) {
        const bool expected =
            (behind_ != nullptr && problem.starts_with("scm drive")) ||
            (spoilt && (problem.ends_with("it can be rebuilt") ||
                        problem.ends_with("of the table is damaged"))) ||
            (blocks_lost_ && problem.ends_with("more is damaged than P and Q can reconstruct"));
        if (!expected) return void(violate("check: " + problem));
    }
    judge_redundancy(Moment::closed, &*report);
}

RunResult History::finish() {
    if (core_) drop();
    result_.trace = world_.trace();
    result_.given_up = io_clock_.given_up();
    result_.events = world_.events();
    result_.faults = world_.faults().counts();
    result_.coverage = world_.coverage();
    return result_;
}

}  // namespace qlcshape::sim
