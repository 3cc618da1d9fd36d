// SPDX-License-Identifier: Apache-2.0
// Takes snapshots of the PMT while the array is in use, so that recovery looks only at what was
// written since the last one. Nobody waits for it: it notes how far each band is in the table, asks
// the shards to write back what is dirty by now, flushes, and then says so on every scm drive.
//
// A snapshot is a promise about entries: each on SCM is as new as the snapshot's beginning, or
// newer. So nothing is frozen or copied, and a page that changes meanwhile may be written in any
// state:
//
//   begin()            published_now(), then next_version: what is noted is in the shards' pages
//   sweeping           the shards write back each page that was dirty when they were asked
//   flushing_table     those pages leave the drives' caches; the bits of those that were never
//                      written before were taken first
//   others_flushing    waits for flushes of other threads: one that fails may have dropped pages
//   bits               to one place, flush, to the other place, flush; more of them: flushing_table
//   writing, flushing  the record, to the place that the one in force does not have
//
// A cut anywhere before the record is whole leaves the one before in force. It still tells the
// truth: the table on SCM only gets newer.
//
// Runs as an actor on the keeper's thread. docs/write_path.md: Snapshot.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "format/snapshot_record.h"
#include "meta/bitmap_store.h"
#include "meta/keeper.h"
#include "shard/shard.h"

namespace qlcshape {

class Snapshotter final : public Actor {
  public:
    struct Parts {
        const ArrayContext& array;
        BandTable& bands;
        BandKeeper& keeper;
        SpaceGate& gate;
        BitmapWriter& bits;
        std::atomic<std::uint64_t>& next_version;
        std::vector<Shard*> shards;
        std::uint64_t used_before = 0;  // mapped blocks when the shards began to count
        std::uint64_t generation = 0;   // of the newest record on media
        std::uint64_t interval = 0;     // segments placed between two snapshots
        std::function<LifetimeCounters()> lifetime;
    };

    Snapshotter(Parts parts, IoQueue& queue, Counters& counters);

    bool poll() override;
    bool busy() const override { return step_ != Step::idle; }
    // No more are begun. One that is under way is given up as soon as no transfer of it is.
    void begin(Phase) override { closing_ = true; }
    bool done_with(Phase phase) override { return phase != Phase::erasing || !busy(); }
    bool failed() const override { return false; }  // the table's snapshot before this one does
    // Any thread: take one now, whatever was written.
    void ask() { asked_.store(true, std::memory_order_relaxed); }
    std::uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }
    // Those that could not be written or flushed.
    std::uint64_t given_up() const { return given_up_.load(std::memory_order_relaxed); }

  private:
    enum class Step : std::uint8_t {
        idle,
        sweeping,
        flushing_table,
        others_flushing,
        writing_bits,
        flushing_bits,
        writing,
        flushing
    };

    bool wanted() const;
    bool table_damaged() const;
    void begin();
    bool swept() const;
    bool flush_failed() const;
    void flush_table();
    void write_bits();
    void write();
    void flush(Step step);
    void submit(std::span<Io> ios);
    void give_up();
    void end();

    const Parts parts_;
    IoQueue& queue_;
    Counters& counters_;
    Snapshot snapshot_;
    Buffer record_;
    std::vector<Io> ios_;
    OtherFlushes others_;
    std::vector<std::uint64_t> sweeps_;  // by shard: the one that is waited for
    std::uint64_t placed_before_ = 0;
    std::uint32_t pending_ = 0;
    bool io_failed_ = false;
    bool told_damage_ = false;
    bool closing_ = false;
    Step step_ = Step::idle;
    std::atomic<bool> asked_{false};
    std::atomic<std::uint64_t> taken_{0};
    std::atomic<std::uint64_t> given_up_{0};
};

}  // namespace qlcshape
