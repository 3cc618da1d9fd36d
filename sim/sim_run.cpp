// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/format_array.h"
#include "sim/sim_history.h"

namespace qlcshape::sim {

History::History(std::uint64_t seed, Profile profile)
    : world_(seed, profile),
      rng_(world_.random()),
      images_random_(~seed),
      silence_random_(seed ^ 0x5113),
      tail_random_(seed ^ 0x7a11),
      away_random_(seed ^ 0xaaa7),
      drain_random_(seed ^ 0xd4a1),
      replace_random_(seed ^ 0x4e91),
      return_random_(seed ^ 0xbac4),
      cuts_replacing_(seed % 8 == 2),
      scrub_random_(seed ^ 0x5c2b) {
    constexpr Profile kNever[] = {Profile::older, Profile::beyond, Profile::sequences};
    scrubs_ = seed % 4 == 2 && std::ranges::find(kNever, profile) == std::end(kNever);
    // What the other profiles do with an SCM drive needs the drive.
    const bool fails = profile == Profile::drives && seed % 4 == 3;
    const bool spoils = world_.faults().media_faults() && seed % 4 == 1;
    options_.pmt_copies = goes_away() || fails || spoils ? 2 : 1;
    options_.spare_drives = 0;
    constexpr Profile kSometimesWide[] = {Profile::media, Profile::drives, Profile::older,
                                          Profile::all};
    const bool sometimes =
        seed % 8 == 5 && std::ranges::find(kSometimesWide, profile) != std::end(kSometimesWide);
    if (wide() || sometimes) {
        more_drives_ = 1 + static_cast<std::uint32_t>(away_random_.below(4));
        options_.spare_drives =
            static_cast<std::uint32_t>(away_random_.below(std::min(more_drives_, 2u) + 1));
    }
    // In every eighth history recovery may keep few findings at once.
    kept_findings_ = seed % 8 == 0 ? 60 + seed % 541 : 1'000'000;
    version_gap_ = seed % 3;  // so small that versions which come again are seen
    here_ = std::make_unique<IoQueue>();
    here_->set_idle([this] { poll_something(); });
    options_.log = [this](LogLevel, const std::string& message) { note_unmended(message); };
    profile == Profile::sequences ? shape_for_sequences() : shape();
}

// Small arrays, so that GC must run and a recovery is short.
void History::shape() {
    options_.name = "sim";
    struct Stripe {
        std::uint32_t data_strips;
        std::uint64_t strip_bytes;
    };
    constexpr Stripe kWide{5, 256 * KiB};
    constexpr Stripe kStripes[] = {
        {2, 64 * KiB}, {3, 64 * KiB}, {4, 32 * KiB}, {4, 32 * KiB}, {8, 16 * KiB}};
    // More slots in a segment than are published at once; few bands, for they are large.
    const bool wide = rng_.chance(1, 16);
    const auto& stripe = wide ? kWide : kStripes[rng_.below(std::size(kStripes))];
    options_.data_strips = stripe.data_strips;
    options_.strip_bytes = stripe.strip_bytes;
    const std::uint64_t segments =
        std::max(kSuperblockRecordMin / options_.strip_bytes, wide ? 4 : 4 + 2 * rng_.below(3));
    options_.band_bytes = segments * options_.strip_bytes;
    const std::uint64_t percent = wide ? 50 : 25 + 5 * rng_.below(3);
    options_.overprovision = static_cast<double>(percent) / 100;
    max_shards_ = options_.shards =
        static_cast<std::uint32_t>(wide || rng_.chance(1, 3) ? 1 : 1 + rng_.below(3));
    options_.gc_threads = rng_.chance(1, 6) ? 2 : 1;
    const bool qlc_cache = rng_.chance(2, 3), scm_cache = rng_.chance(2, 3),
               clears = rng_.chance(1, 2), zoned = rng_.chance(1, 5);
    const std::uint64_t recovery =
        div_up(kRamSegments * max_shards_ + kGcTargets * options_.gc_threads, segments) + 1;
    const std::uint64_t least =
        4 + options_.gc_threads + 2 + recovery + std::max<std::uint64_t>(400 / percent + 1, 8);
    add_media(least + rng_.below(wide ? 2 : 25), {qlc_cache, scm_cache, clears, zoned});
    counted_pages_ = rng_.chance(1, 2) ? 0 : 65536;
    one_volume_ = beyond();
    if (!beyond()) choose_weak();
    ops_.resize(1 + rng_.below(24));
    for (SimOp& op : ops_) op.data = Buffer(kLargest);
}

void History::add_media(std::uint64_t bands, Kinds kinds) {
    // The same number of bands, and somewhat more.
    const std::uint64_t slots =
        div_up(bands * (options_.data_strips + 2), qlc_drives() - *options_.spare_drives);
    for (std::uint32_t i = 0; i < qlc_drives(); ++i) {
        media_.push_back(&world_.add(fmt::format("qlc{}", i), (slots + 2) * options_.band_bytes,
                                     kinds.qlc_cache, kinds.discard_clears));
        media_.back()->qlc = true;
        if (kinds.zoned) media_.back()->make_zoned(options_.band_bytes);
        options_.devices.push_back({Role::qlc, media_.back()->name, 0});
    }
    const std::uint64_t ring =
        ArrayLayout::min_tps_ring_bytes(options_.data_strips * options_.strip_bytes);
    const std::uint64_t superblocks =
        2 * kSuperblockSlots * std::max(kSuperblockRecordMin, options_.strip_bytes);
    for (std::uint32_t i = 0; i < 2; ++i) {
        media_.push_back(
            &world_.add(fmt::format("scm{}", i),
                        superblocks + options_.pmt_copies * 2 * MiB + ring * max_shards_,
                        kinds.scm_cache, true));
        options_.devices.push_back({Role::scm, media_.back()->name, 0});
    }
}

// What redundancy promises: any two QLC drives and one mirror of the TPS.
void History::choose_weak() {
    const std::uint64_t qlc = qlc_drives();
    const std::uint64_t many = rng_.below(4);
    if (many >= 1) weak_qlc_.insert(rng_.below(qlc));
    if (many >= 2) weak_qlc_.insert(rng_.below(qlc));
    for (const std::size_t i : weak_qlc_) media_[i]->weak = true;
    if (rng_.chance(3, 4)) media_[qlc + rng_.below(2)]->weak = true;
}

bool History::create() {
    auto list = devices();
    auto q = queue();
    const Status made = format_array(options_, list, false, rng_, *q);
    if (!made) return violate("create: " + made.error().message);
    return true;
}

bool History::violate(const std::string& what) {
    if (result_.violation.empty()) result_.violation = what;
    return false;
}

void History::poll_something() {
    const auto& workers = core_->workers();
    if (rng_.below(3) == 0) {
        world_.step();
    } else {
        workers[rng_.below(workers.size())]->poll(core_->phase());
    }
    if (world_.silenced()) {
        drive_is_silent();
    } else if (core_->array().drive_leaves() && away_random_.chance(1, 16)) {
        core_->look_at_drives();
        core_->watch();
    }
    // Where the newest band table is lost nobody knows how far a zone was written.
    if (!world_.broken_rule().empty() && !harm_.band_page_lost)
        violate("zones: " + world_.broken_rule());
}

void History::plan_cut(std::uint64_t events, PersistencePoint first, PersistencePoint last) {
    if (rng_.chance(1, 2)) return world_.cut_after(1 + rng_.below(events));
    const auto from = static_cast<std::uint64_t>(first);
    const auto point = from + rng_.below(static_cast<std::uint64_t>(last) - from + 1);
    // One draw a statement: the order of a call's arguments is the compiler's choice, and differs
    // between processors.
    const std::uint64_t more = rng_.chance(1, 2) ? 0 : rng_.below(3);
    const std::uint64_t nth = 1 + rng_.below(rng_.chance(1, 2) ? 2 : 40);
    world_.cut_at(static_cast<PersistencePoint>(point), nth, more);
}

// Opens, with power cuts on the way, until it succeeds; reads everything back; puts load on it;
// ends in a cut or a clean close.
void History::cycle() {
    if (opened_ != 0) {
        if (rng_.chance(1, 8)) degraded_episode();
        if (world_.faults().drive_faults() && rng_.chance(1, 8)) stale_episode();
        if (world_.faults().media_faults() && rng_.chance(1, 8)) superblock_episode();
        if (beyond()) beyond_episode();
        copy_episode();
        away_episode();
    }
    if (!result_.violation.empty() || !open_through_cuts()) return;
    if (crashed_ && rng_.chance(1, 8)) return close_clean();
    const bool clean = rng_.chance(1, 5);
    load(!clean);
    if (!result_.violation.empty()) return drop();
    if (clean) scrub_episode();
    if (clean) rebuild_episode();
    if (!result_.violation.empty()) return drop();
    if (clean && !world_.dead())
        close_clean();
    else
        crash();
    if (result_.violation.empty()) older_episode();
}

// Cuts in a row, each during the recovery before it.
void History::loop_of_cuts(std::uint32_t cuts) {
    std::uint64_t span = 200;  // events that a recovery takes, at the least
    std::uint64_t row = 0;
    while (row < cuts && result_.violation.empty()) {
        world_.power_on();
        const std::uint64_t before = world_.events();
        world_.cut_after(1 + rng_.below(span));
        if (open(true) && !world_.dead()) {  // it came through: begin again, with less time
            span = std::max<std::uint64_t>(10, (world_.events() - before) / 2);
            row = 0;
            crash();
            continue;
        }
        if (core_) drop();
        cut_in(State::recovering);
        ++row;
        ++result_.crashes;
        ++result_.crashes_in_recovery;
        result_.longest_row = std::max(result_.longest_row, row);
    }
    if (!result_.violation.empty()) return;
    if (open_through_cuts()) crash();
}

RunResult History::run(std::uint32_t cycles) {
    if (!create()) return finish();
    const bool loop = world_.faults().profile() == Profile::loop;
    for (std::uint32_t i = 0; i < (loop ? 4 : cycles) && result_.violation.empty(); ++i) cycle();
    if (loop && result_.violation.empty()) loop_of_cuts(cycles);
    if (beyond() && result_.violation.empty()) ruin_drives();
    return finish();
}

void RunCounts::add(const RunCounts& o) {
    events += o.events;
    recoveries += o.recoveries;
    crashes += o.crashes;
    crashes_in_recovery += o.crashes_in_recovery;
    kills += o.kills;
    longest_row = std::max(longest_row, o.longest_row);
    clean_closes += o.clean_closes;
    judged += o.judged;
    stripes_judged += o.stripes_judged;
    older_refused += o.older_refused;
    older_taken += o.older_taken;
    degraded_opens += o.degraded_opens;
    away_opens += o.away_opens;
    drives_left += o.drives_left;
    drives_replaced += o.drives_replaced;
    drives_replaced_open += o.drives_replaced_open;
    drives_spread += o.drives_spread;
    drives_drained += o.drives_drained;
    drives_removed += o.drives_removed;
    scm_replaced_open += o.scm_replaced_open;
    drives_returned_open += o.drives_returned_open;
    scm_returned_open += o.scm_returned_open;
    scm_away += o.scm_away;
    scm_left += o.scm_left;
    scm_returned += o.scm_returned;
    scm_replaced += o.scm_replaced;
    scrubs += o.scrubs;
    strips_scrubbed += o.strips_scrubbed;
    blocks_damaged += o.blocks_damaged;
    blocks_lost += o.blocks_lost;
    mirrors_split += o.mirrors_split;
    refused += o.refused;
    drives_away += o.drives_away;
    stops += o.stops;
    given_up += o.given_up;
    operations += o.operations;
    reads_inline += o.reads_inline;
    volumes_made += o.volumes_made;
    volumes_deleted += o.volumes_deleted;
    volumes_resized += o.volumes_resized;
    bands_moved += o.bands_moved;
    bands_rebuilt += o.bands_rebuilt;
    snapshots += o.snapshots;
    snapshot_recoveries += o.snapshot_recoveries;
    full_recoveries += o.full_recoveries;
    verify_failed += o.verify_failed;
    reconstructed += o.reconstructed;
    commit_retries += o.commit_retries;
    coverage.add(o.coverage);
    for (std::size_t i = 0; i < kStates; ++i) cycles_by_state[i] += o.cycles_by_state[i];
    for (std::size_t i = 0; i < kFaults; ++i) {
        faults.of[i].injected += o.faults.of[i].injected;
        faults.of[i].detected += o.faults.of[i].detected;
        faults.of[i].repaired += o.faults.of[i].repaired;
    }
}

RunResult run_history(std::uint64_t seed, std::uint32_t cycles, Profile profile,
                      PersistencePoint aim) {
    if (profile == Profile::sequences) return run_sequence(seed);
    History history(seed, profile);
    history.aim_at(aim);
    return history.run(cycles);
}

std::uint32_t usual_cycles(Profile profile) { return profile == Profile::loop ? 1000 : 20; }

}  // namespace qlcshape::sim
