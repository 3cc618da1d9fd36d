// SPDX-License-Identifier: Apache-2.0
// What a flush waits for: the writes and trims that were in flight when it came, no others. They
// are counted by the phase in which they came, and each round of flushes begins a new phase. A
// flush needs no I/O, since what is acknowledged is durable; with a stream of writes it must not
// wait for ever.
//
//   phase 0: writes a, b     flush 1 -> phase 1, waits for in_flight_[0] == 0
//   phase 1: writes c, d     flush 2 comes: the next round, when flush 1 has ended
//
// Knows nothing of segments or streams: whoever ends a write says so by leave(). On the shard's
// thread.
#pragma once

#include <cstdint>

#include "shard/page_op.h"

namespace qlcshape {

class FlushBarrier {
  public:
    // A write or a trim that comes, and one that ends.
    void enter(PageOp& op) {
        op.flush_phase = phase_;
        ++in_flight_[phase_];
    }
    void leave(const PageOp& op) { --in_flight_[op.flush_phase]; }

    void add(PageOp& flush) { waiting_.push_back(flush); }
    // Fills `ended` with the flushes that have nothing left to wait for. True if there were any, or
    // if a round began.
    bool poll(OpFifo& ended);

    bool writes_in_flight() const { return in_flight_[0] + in_flight_[1] != 0; }
    bool idle() const { return !writes_in_flight() && flushing_.empty() && waiting_.empty(); }

  private:
    OpFifo waiting_;                       // for the next round
    OpFifo flushing_;                      // the round that is under way
    std::uint64_t in_flight_[2] = {0, 0};  // writes and trims, by the phase in which they came
    std::uint8_t phase_ = 0;
};

}  // namespace qlcshape
