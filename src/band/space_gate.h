// SPDX-License-Identifier: Apache-2.0
// Who may use free bands, and how fast writers may go while there are few. Policy is separate from
// motion: numbers in, decisions out. Any thread.
//
// From many free bands to none:
//   free >= gc_start                 writers run freely, GC rests
//   user_floor < free < gc_start     a writer appends as many blocks as GC gains: its credit
//   recovery < free <= user_floor    the user stream opens no band; what is open can be filled
//   free <= recovery                 kept for recovery: GC opens no band either
// After a recovery that used its bands nothing is appended until GC has restored them, so that the
// reserve is complete at any number of crashes.
//
// Bands that are out of use, because parts of them can't be read or erased, take space that was
// promised. If they leave none for GC to gain, a writer would wait for ever: standstill() detects
// that, and the engine stops.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>

#include "band/band_table.h"
#include "device/io.h"
#include "format/layout.h"

namespace qlcshape {

class SpaceGate {
  public:
    SpaceGate(const ArrayLayout& layout, const BandTable& bands)
        : bands_(bands),
          recovery_(layout.recovery_bands),
          user_floor_(layout.recovery_bands + layout.gc_bands()),
          credit_cap_(std::int64_t{layout.slots_per_band()} / 2) {
        credit_ = credit_cap_;
    }

    // After the bands were restored, and after some ended early: a drive has left.
    void start() { replenishing_ = bands_.free_bands() < user_floor_; }

    // A part of the engine can't go on: none acknowledges anything more. The first reason stays.
    enum class End : std::uint8_t { none, drive, table, space };
    // A transfer of this queue's failed, the last one that was to be persistent.
    void fail(const IoQueue& queue) { end(End::drive, queue.last_failed_write()); }
    void fail(const Io& by) { end(End::drive, by); }
    void fail_for_table() { end(End::table, {}); }  // a page of it can't be read
    void fail_for_space() { end(End::space, {}); }
    End ended() const { return ended_.load(std::memory_order_acquire); }
    bool failed() const { return ended_.load(std::memory_order_relaxed) != End::none; }
    // Where a drive ended it: the transfer that failed.
    const Io& ended_by() const { return ended_by_; }

    std::uint32_t gc_start() const { return user_floor_ + 2; }
    bool gc_wanted() const { return bands_.free_bands() < gc_start(); }

    // Recovery uses the user stream, and its own reserve.
    void set_recovering(bool recovering) { recovering_ = recovering; }

    // What is in RAM must find a place, and GC starts no more bands to make one.
    void set_closing() { closing_ = true; }

    bool user_may_open() const {
        return recovering_ || bands_.free_bands() > (closing_ ? recovery_ : user_floor_);
    }
    // What is kept for GC and recovery is all there.
    bool gc_has_room() const {
        return bands_.free_bands() >= user_floor_ && !replenishing_.load(std::memory_order_relaxed);
    }
    bool gc_may_open() const {
        return bands_.free_bands() > recovery_ || replenishing_.load(std::memory_order_relaxed);
    }

    // May `blocks` be appended now? Takes them from the credit where that counts.
    bool admit(std::uint32_t blocks) {
        if (take(blocks)) return true;
        const std::uint64_t now = bands_.changes();
        if (take(blocks)) return true;
        std::uint64_t known = refused_.load(std::memory_order_relaxed);
        while (known <= now &&
               !refused_.compare_exchange_weak(known, now + 1, std::memory_order_relaxed)) {
        }
        return false;
    }

    // Where a shard or a collector notes that it rests: changes() as it was before it looked, if
    // nothing of its is on the way to the drives or the table, and only a change of the bands would
    // let it go on. Before they run.
    using Rest = std::atomic<std::uint64_t>;
    Rest& add_rest() { return rests_.emplace_back(kRestless); }
    static constexpr std::uint64_t kRestless = UINT64_MAX;

    // Someone waits for space, and none will come: bands are out of use, and every shard and
    // collector rests with the bands as they are. The keeper asks, when it has nothing to do.
    bool standstill() const {
        if (bands_.out_of_use() == 0 || !gc_wanted()) return false;
        const std::uint64_t changes = bands_.changes();
        const bool waits = refused_.load(std::memory_order_relaxed) > changes ||
                           bands_.starved(Stream::user) || (closing_ && bands_.starved(Stream::gc));
        return waits && std::all_of(rests_.begin(), rests_.end(), [&](const Rest& r) {
                   return r.load(std::memory_order_acquire) == changes;
               });
    }

    // GC looked at `slots` slots of a band that it will free, and had to move `moved` of them.
    void reclaimed(std::uint32_t slots, std::uint32_t moved) {
        const std::int64_t gain = std::int64_t{slots} - moved;
        std::int64_t credit = credit_.load(std::memory_order_relaxed);
        while (!credit_.compare_exchange_weak(credit, std::min(credit + gain, 4 * credit_cap_),
                                              std::memory_order_relaxed)) {
        }
        if (gain > 0) refused_.store(0, std::memory_order_relaxed);
    }

  private:
    void end(End why, const Io& by) {
        if (ending_.exchange(true)) return;
        ended_by_ = by;
        ended_.store(why, std::memory_order_release);
    }
    bool take(std::uint32_t blocks) {
        const std::uint32_t free = bands_.free_bands();
        if (replenishing_.load(std::memory_order_relaxed)) {
            if (free < user_floor_) return false;
            replenishing_ = false;
        }
        if (free >= gc_start()) {
            if (credit_.load(std::memory_order_relaxed) != credit_cap_) credit_ = credit_cap_;
            return true;
        }
        if (free < recovery_) return false;
        std::int64_t credit = credit_.load(std::memory_order_relaxed);
        do {
            if (credit < blocks) return false;
        } while (
            !credit_.compare_exchange_weak(credit, credit - blocks, std::memory_order_relaxed));
        return true;
    }

    const BandTable& bands_;
    const std::uint32_t recovery_;
    const std::uint32_t user_floor_;
    const std::int64_t credit_cap_;
    std::atomic<std::int64_t> credit_{0};
    std::atomic<bool> replenishing_{false};
    bool recovering_ = false;
    std::atomic<bool> closing_{false};
    std::atomic<bool> ending_{false};
    std::atomic<End> ended_{End::none};
    Io ended_by_;
    // A writer was refused with the bands as they were at this many changes less one, and GC gained
    // nothing since. After a later change it has been admitted, or refused again.
    std::atomic<std::uint64_t> refused_{0};
    std::deque<Rest> rests_;  // of each shard and collector
};

}  // namespace qlcshape
