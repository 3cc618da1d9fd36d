// SPDX-License-Identifier: Apache-2.0
// Moves what is still valid out of a band, so that it can be erased: motion, apart from policy.
//
// Runs as an actor on a GC thread. For each segment of the victim: read the header; ask the owning
// shards which slots the table still leads to; read those, verified; append them to a segment of
// the GC stream. When that is durable, ask the shards to exchange the old place for the new one: a
// user's write that came in between wins. A band is given back when every slot of it was looked up,
// every move is settled, and no reader is in it.
//
//   candidates -> victim_ --------------> awaiting_ --------------> erasing (keeper) -> free
//    (policy.h)   at most 1;              at most kAwaiting; all     durable state first,
//                 kSources of its         was appended, targets      then discarded
//                 segments at once        are not settled yet
//                   |  append                ^
//                   v                        |  settled: durable, and exchanged
//                 targets_, at most kTargets, each filled from any source of any victim
//
// Several victims share a target, so a band waits until that target is full: an early seal would
// be padding on QLC. seal_if_stuck() makes the exception.
//
// Bands in which damage was found are moved, too, and hardly valid ones that lack columns (Healer):
// what is in them gets all of its parity again. Space comes first, but not for ever.
//
// Source and target state belong to this thread. A MapBatch is the shard's from send() until it is
// back in replies_. The band table and the space gate are shared.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "band/band_table.h"
#include "band/space_gate.h"
#include "base/actor.h"
#include "base/counters.h"
#include "pmt/map_batch.h"
#include "segment/block_reader.h"
#include "segment/committer.h"

namespace qlcshape {

class Collector final : public Actor {
  public:
    Collector(const ArrayContext& array, BandTable& bands, SpaceGate& gate,
              std::vector<MapPort*> shards, IoQueue& queue, Counters& counters, Buffer memory);
    // To be registered with the queue.
    static std::uint64_t buffer_bytes(const ArrayLayout& layout);

    bool poll() override;
    bool busy() const override;
    void begin(Phase phase) override;
    bool done_with(Phase phase) override;
    bool failed() const override { return committer_.failed(); }
    std::uint64_t memory_bytes() const;

  private:
    static constexpr std::uint32_t kSources = 4;
    static constexpr std::uint32_t kTargets = kGcTargets;
    static constexpr std::uint32_t kAwaiting = 8;
    static constexpr std::uint32_t kBridge = 7;  // obsolete blocks read along, to read in one go

    enum class Step : std::uint8_t { idle, header, rebuild, lookup, read, trims, append };

    // A segment of the victim on its way.
    struct Source {
        Collector* owner = nullptr;
        Step step = Step::idle;
        std::uint32_t segment = 0;
        std::byte* memory = nullptr;  // the whole segment's data, header first
        Buffer own;                   // in place of memory that a drive may still write to
        Io header_io;
        std::vector<MapBatch> batches;  // one a shard
        std::uint32_t batches_pending = 0;
        std::vector<std::uint8_t> wanted;   // by slot: to be moved
        std::vector<std::uint8_t> damaged;  // by slot: can't be read
        std::vector<BlockRead> reads;
        std::uint32_t reads_used = 0;
        std::uint32_t reads_pending = 0;
        std::uint32_t trim_slot = 0;  // block of tombstones being looked at
        std::uint32_t next_slot = 0;  // to be appended
        std::uint32_t moved = 0;
        std::vector<Tombstone> trims;  // to be carried, of one block of them
        std::size_t next_trim = 0;
        bool drives_away = false;  // which blocks need that can't be read
    };

    // A segment of the GC stream.
    struct Target : SegmentBuffer {
        using SegmentBuffer::SegmentBuffer;
        std::vector<PmtEntry> from;  // by slot: the entry that led to the source
        std::uint32_t poisoned = 0;
        bool in_use = false;
        std::vector<MapBatch> batches;
        std::uint32_t batches_pending = 0;
    };

    struct Victim {
        BandId band;
        std::uint64_t sequence = 0;
        std::uint32_t segments = 0;
        std::uint32_t next = 0;         // segment to start with
        std::uint64_t last_target = 0;  // newest target that got any of it
        bool to_mend = false;           // not for space: nothing in it is given up
    };

    // collector.cpp
    bool work();
    bool take_replies();
    bool pick();
    std::optional<Victim> choose();
    std::optional<Victim> choose_to_mend();
    bool end_victim();
    bool give_back();
    bool seal_if_stuck();
    bool sources_idle() const;
    bool rests() const;

    // source.cpp
    bool start_source();
    bool step(Source& source);
    void header_read(Source& source);
    void send_lookups(Source& source);
    void looked_up(Source& source);
    void start_reads(Source& source);
    void leave_memory(Source& source);
    void reads_done(Source& source);
    bool next_trims(Source& source);
    void trims_looked_up(Source& source);
    bool append(Source& source);
    bool append_trims(Source& source);
    void finish(Source& source);
    void send(std::vector<MapBatch>& batches, std::uint32_t& pending);
    MapBatch& batch_for(std::vector<MapBatch>& batches, Lba lba);
    void clear(std::vector<MapBatch>& batches, MapKind kind);
    SegmentHeader header_of(const Source& source) const {
        return SegmentHeader(array_.layout, source.memory);
    }
    std::byte* slot_data(const Source& source, std::uint32_t slot) const {
        return source.memory + array_.layout.slot_byte(slot);
    }

    // target.cpp
    Target* open_target();
    void seal_target();
    void target_durable(Target& target);
    void target_settled(Target& target);
    std::uint64_t oldest_unsettled() const;

    const ArrayContext& array_;
    BandTable& bands_;
    SpaceGate& gate_;
    SpaceGate::Rest& rest_;
    std::vector<MapPort*> shards_;
    IoQueue& queue_;
    Counters& counters_;
    Mailbox<MapBatch> replies_;
    BlockReader reader_;
    Committer committer_;
    Rebuild rebuild_;
    Buffer memory_;
    std::vector<Source> sources_;
    std::vector<std::unique_ptr<Target>> targets_;
    Target* open_ = nullptr;
    std::uint64_t next_target_ = 1;
    std::optional<Victim> victim_;
    std::vector<Victim> awaiting_;  // all moved, not all settled
    bool victim_damaged_ = false;
    bool mending_ = false;     // some were moved to be mended, and the last target is not sealed
    std::uint32_t turns_ = 0;  // of choose(), where space is short and could be spared
    bool closing_ = false;
};

}  // namespace qlcshape
