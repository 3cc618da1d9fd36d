// SPDX-License-Identifier: Apache-2.0
// Lifetime counters over crashes: none falls below what is durable, and nothing is counted twice.
#include <fmt/format.h>

#include "format/snapshot_record.h"
#include "sim/sim_history.h"

namespace qlcshape::sim {

// Before an opening: what the snapshots have on the drives that are without faults.
void History::note_counters() {
    required_ = durable_;
    on_scm_ = {};
    if (opened_ == 0) return;
    const ArrayLayout& l = world_.faults().layout();
    for (const Media* m : current()) {
        // One that is away may have one that no other got before the power went.
        if (m->qlc || m->weak || m == away_scm_) continue;
        for (std::uint64_t place = 0; place < 2; ++place) {
            const auto s = decode_snapshot(
                {m->bytes.get() + l.snapshot_place(place), l.snapshot_bytes}, l, array_id_);
            if (s) raise_counters(on_scm_[number_of(m) - qlc_drives()], s->counters);
        }
    }
}

// After it. What recovery itself wrote is counted too, but no user's bytes, no records and no GC.
void History::judge_counters() {
    array_id_ = core_->array().array;
    // One that failed while it was opened may have had one that no other got.
    for (std::size_t i = 0; i < on_scm_.size(); ++i) {
        if (core_->array().scm_in(i)) raise_counters(required_, on_scm_[i]);
    }
    for (std::size_t i = 0; i < kCounters; ++i) {
        if (opened_with_[i] < required_[i] && i != static_cast<std::size_t>(Counter::used_blocks))
            violate(fmt::format("lifetime counter {} is {} after an opening: {} was durable", i,
                                opened_with_[i], required_[i]));
    }
    for (const Counter c :
         {Counter::user_written_bytes, Counter::user_trimmed_bytes, Counter::tps_written_bytes,
          Counter::qlc_gc_bytes, Counter::gc_bands_moved, Counter::gc_blocks_moved,
          Counter::rebuild_bands}) {
        const auto i = static_cast<std::size_t>(c);
        if (opened_with_[i] > counted_[i])
            violate(fmt::format("lifetime counter {} is {} after an opening: only {} was counted",
                                i, opened_with_[i], counted_[i]));
    }
    if (!core_->read_only()) raise_counters(durable_, opened_with_);
}

}  // namespace qlcshape::sim
