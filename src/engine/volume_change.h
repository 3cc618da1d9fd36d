// SPDX-License-Identifier: Apache-2.0
// The rest of a change of a volume, after the core has begun it: waits for the requests that may
// have met the volume as it was, trims what it loses, and makes the change final.
//
//   delete   durable: deleted      drain   trim all of it        durable: forgotten
//   shrink   in DRAM: end refused  drain   trim what is cut off  durable: smaller
//   grow     durable: larger       drain   nothing               nothing
//
// Drain before the trim: a write that was let in before might be appended after it, and lie in
// pages that the next volume gets. After a crash the trim of a deletion begins again, and a volume
// that was to shrink has its old size, with zeroes as far as the trim got.
//
// step() never waits for a request, so that the engine's threads and a simulator run the same code.
// One thread at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "engine/core.h"

namespace qlcshape {

class VolumeChange {
  public:
    // `core` must outlive it.
    VolumeChange(Core& core, const Core::Deletion& deletion);
    VolumeChange(Core& core, const Core::Resize& resize);

    // Does what can be done now; may write superblocks. True when the change is over.
    bool step();
    // A request that it made is under way: it must not go now.
    bool in_flight() const { return pending_.load(std::memory_order_acquire); }
    // When it is over.
    const Status& outcome() const { return outcome_; }

  private:
    void trim_next();

    Core& core_;
    std::function<bool()> drained_;
    std::function<Status(const Status& trimmed)> finish_;
    const std::shared_ptr<VolumeState> trimming_;
    std::uint64_t at_;  // trimmed up to here
    const std::uint64_t end_;
    Status trimmed_;
    std::atomic<bool> pending_{false};
    bool over_ = false;
    Status outcome_;
};

}  // namespace qlcshape
