// SPDX-License-Identifier: Apache-2.0
// Which band to move next: policy, apart from motion. A pure function of what is seen.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "band/band_table.h"

namespace qlcshape {

// Greedy: the band with the fewest valid blocks; of equals the oldest. Blocks of tombstones count
// as valid while their band is young, since moving them gains nothing; in an old band they count as
// garbage, so that each is looked at again now and then, and superseded ones go. Old is a band
// that was opened more than 4 x bands openings ago.
//
//   bands of 1000 slots   valid  tombstone blocks   cost, gain of a move
//   A, young                300                 0   300, 700
//   B, young                150               200   350, 650: the 200 would just be carried
//   C, old                  150               200   150, 650 to 850: some of the 200 may go
//
// Counts are hints. Where they say that every band is full they are wrong, for there is space that
// volumes may not use: then the oldest is moved, and counted again with that. That space may be
// gone where bands are out of use: then only an estimate can be wrong. And then bands that have
// less than a band's garbage together are left alone: what is moved fills a band again, padding and
// all, so that no band would become free, over and over. Tombstones of young bands are no garbage
// in that sum, though some of them may be superseded: so writing may end up to a band earlier than
// it must, which harms less than moving for ever.
class GreedyPolicy {
  public:
    // `newest_sequence`: of the band opened last.
    GreedyPolicy(std::uint32_t slots_per_band, std::uint32_t bands, std::uint64_t newest_sequence,
                 bool out_of_use = false)
        : slots_(slots_per_band),
          old_before_(newest_sequence > 4 * std::uint64_t{bands}
                          ? newest_sequence - 4 * std::uint64_t{bands}
                          : 0),
          out_of_use_(out_of_use) {}

    void see(const Candidate& c) {
        const std::uint32_t cost =
            std::min(slots_, c.valid + (c.sequence < old_before_ ? 0 : c.tombstones));
        if (out_of_use_ && cost == slots_ && !c.valid_is_estimate) return;
        gain_ += c.valid_is_estimate ? slots_ : slots_ - cost;
        if (!best_ || cost < best_cost_ || (cost == best_cost_ && c.sequence < best_sequence_)) {
            best_ = c.band;
            best_cost_ = cost;
            best_sequence_ = c.sequence;
        }
    }
    std::optional<BandId> best() const {
        return out_of_use_ && gain_ < slots_ ? std::nullopt : best_;
    }

  private:
    std::uint32_t slots_;
    std::uint64_t old_before_;
    bool out_of_use_;
    std::uint64_t gain_ = 0;
    std::optional<BandId> best_;
    std::uint32_t best_cost_ = 0;
    std::uint64_t best_sequence_ = 0;
};

}  // namespace qlcshape
