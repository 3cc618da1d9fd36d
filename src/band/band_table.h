// SPDX-License-Identifier: Apache-2.0
// All bands of the array: their states, which stream appends to which, how far each is durable, how
// many of their blocks are still mapped. Shared by shards, collectors and the keeper.
//
// A mutex guards the transitions, a few for each segment. Valid counts and readers are atomics,
// touched for each block. Nothing here does I/O; the keeper makes states durable.
//
// A band's life: free -> (keeper: record durable) open -> every segment placed, durable and
// published
// -> closed -> (GC moved all of it) -> (keeper: record durable) erasing -> discarded -> free.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/guarded.h"
#include "base/types.h"
#include "format/band_page.h"
#include "format/layout.h"
#include "format/snapshot_record.h"

namespace qlcshape {

enum class Stream : std::uint8_t { user = 0, gc = 1 };
inline constexpr std::uint32_t kStreams = 2;

// Where a segment goes.
struct Placement {
    BandId band;
    std::uint32_t segment = 0;
    std::uint64_t sequence = 0;  // the band's
    std::uint32_t frontier = 0;  // durable segments of the band
};

// What a policy knows about a band that may be moved.
struct Candidate {
    BandId band;
    std::uint64_t sequence = 0;
    std::uint32_t valid = 0;
    std::uint32_t tombstones = 0;
    bool valid_is_estimate = false;  // valid may be some blocks off
};

struct BandCounts {
    std::uint32_t free = 0, open = 0, closed = 0;
};

class BandTable {
  public:
    explicit BandTable(const ArrayLayout& layout);

    // --- set-up, one thread ---
    void restore(BandId band, const BandRecord& record);
    // What recovery decided about a band that was open. On media it stays unchanged until
    // epoch_begun(): the recovery after an interrupted one must find it so.
    void restore_decided(BandId band, const BandRecord& record, const BandRecord& on_media);
    void epoch_begun();
    // Makes a restored open band the stream's again; its segments 0..record.segments-1 are written.
    void resume(BandId band);
    // Its counts by a rebuilt table.
    void set_counts(BandId band, std::uint32_t valid, std::uint32_t tombstones,
                    bool valid_is_estimate);
    void set_next_sequence(std::uint64_t sequence) { next_sequence_ = sequence; }
    std::uint64_t next_sequence() const { return next_sequence_; }

    // --- placing segments, any thread ---
    // The next place of the stream, if it has an open band with room. Places are given out in
    // order, and must be submitted in order: wait for my_turn(), submit, then submitted().
    std::optional<Placement> place(Stream stream);
    bool my_turn(const Placement& placement) const;
    void submitted(const Placement& placement);

    // All strips are written and flushed.
    void durable(const Placement& placement);
    // This segment and all before it in its band are durable: it may be published.
    bool settled(const Placement& placement) const;
    // A strip of it could not be written: it and all later ones of the band must be placed again.
    void write_failed(const Placement& placement);
    bool void_place(const Placement& placement) const;
    // Ends those of the open bands at what is settled, and the bands that are being opened: places
    // beyond are void.
    void end_open(const std::function<bool(BandId)>& which);
    // The owner has left a void place; the band closes when all have.
    void left(const Placement& placement);
    // Everything in the segment is in the mapping table.
    void published(const Placement& placement, std::uint32_t tombstone_blocks);

    // --- valid counts and readers, any thread ---
    // Valid counts are hints. After a recovery of a large array from a snapshot they may be some
    // blocks off, so never below zero.
    void add_valid(BandId band) { shared(band).valid.fetch_add(1, std::memory_order_relaxed); }
    void drop_valid(BandId band) {
        std::atomic<std::uint32_t>& valid = shared(band).valid;
        std::uint32_t now = valid.load(std::memory_order_relaxed);
        while (now != 0 && !valid.compare_exchange_weak(now, now - 1, std::memory_order_relaxed)) {
        }
    }
    // Before it is asked where the band's columns are (Columns::of()).
    void begin_read(BandId band) { shared(band).readers.fetch_add(1, std::memory_order_seq_cst); }
    void end_read(BandId band) { shared(band).readers.fetch_sub(1, std::memory_order_release); }
    bool has_readers(BandId band) const {
        return shared(band).readers.load(std::memory_order_seq_cst) != 0;
    }

    // --- GC ---
    // Calls `see` for each closed band that is not being moved.
    void candidates(const std::function<void(const Candidate&)>& see) const;
    // False if another collector has taken it.
    bool begin_move(BandId band);
    void abandon_move(BandId band);
    std::uint32_t segments_of(BandId band) const;
    std::uint64_t sequence_of(BandId band) const;
    // All of it is durable elsewhere, nothing points to it, no reader is in it.
    void moved(BandId band);
    // It can't be moved: not tried again before the next opening.
    void put_out_of_use(BandId band);
    // Nor erased; tried again after erase_again(), too.
    void not_erased(BandId band);
    void erase_again();
    std::uint32_t out_of_use() const { return out_of_use_.load(std::memory_order_relaxed); }

    // --- the scrub, the rebuild ---
    // Of a band as it is now. Where it is `readable`, closed and not being moved, it counts one
    // reader more, until end_read(): so long it is not erased.
    struct Life {
        bool readable = false, moving = false, damaged = false;
        bool stays = false;  // it can't be moved
        std::uint64_t sequence = 0;
        std::uint32_t segments = 0, valid = 0;
    };
    Life hold(BandId band);
    // GC is to move it, in the life of this sequence, though not for space.
    void move_soon(BandId band, std::uint64_t sequence);
    // Something in it is not what was written, in the life of this sequence: it is to be moved.
    // Until that has happened, or can't, it counts as damaged. False: it does not. `again`: also if
    // that was tried in vain.
    bool mark_damaged(BandId band, std::uint64_t sequence, bool again);
    std::uint32_t damaged() const { return damaged_.load(std::memory_order_relaxed); }
    // Instead of moved(): something in it can't be rebuilt, and nothing is given up for that. It
    // stays, and counts as damaged no longer, but as not mended, until it is erased.
    void not_mended(BandId band);
    std::uint32_t unmended() const { return unmended_.load(std::memory_order_relaxed); }
    // Goes up when one is damaged no longer, and when one that was being moved stays.
    std::uint64_t ends() const { return ends_.load(std::memory_order_acquire); }
    // One that is damaged, or to be moved soon, and that nobody moves.
    std::optional<BandId> to_mend() const;
    bool any_to_mend() const { return to_mend_.load(std::memory_order_relaxed) != 0; }

    // --- drives that come while the array is open ---
    // Some bands may have fewer columns than there are drives now.
    void drive_came();
    std::uint64_t drives_came() const { return drives_came_.load(std::memory_order_acquire); }
    bool is_open(BandId band) const;

    // --- the keeper ---
    struct Change {
        BandId band;
        BandRecord record;
    };
    // Whether the stream will soon need a band and has none in reserve.
    bool wants_band(Stream stream) const;
    // Takes a free band for the stream; usable after opened().
    std::optional<BandId> begin_open(Stream stream, std::uint64_t epoch);
    void opened(BandId band);
    void not_opened(BandId band);   // it is free again
    void not_emptied(BandId band);  // likewise, but out of use as one that is not_erased()
    std::optional<BandId> next_moved();
    void erased(BandId band);
    BandRecord record_of(BandId band) const;
    // What has to be on media now.
    BandRecord media_record_of(BandId band) const;

    // --- whether any space can still become free ---
    // Goes up whenever a band becomes something that a shard, a collector or the keeper may act on.
    std::uint64_t changes() const { return changes_.load(std::memory_order_acquire); }
    void change() { changes_.fetch_add(1, std::memory_order_release); }
    // place() has found no band for the stream, and none has been opened since.
    bool starved(Stream stream) const;

    // --- queries ---
    // Fills in what a snapshot says about the bands; of closed ones everything is in the table.
    void published_now(Snapshot& snapshot) const;
    // Segments given a place since the array was opened, of both streams.
    std::uint64_t placed() const { return placed_.load(std::memory_order_relaxed); }
    std::uint32_t free_bands() const { return free_.load(std::memory_order_acquire); }
    BandCounts counts() const;
    // Calls `see` for each open or closed band, once its record is durable. `stays`: it is not
    // rebuilt, since segments are still added to it, or GC could not move it.
    void in_use(const std::function<void(BandId, bool stays)>& see) const;
    // The user stream's band and its frontier, for TPS records.
    Placement user_frontier() const;
    std::uint64_t memory_bytes() const { return bands_.size() * sizeof(Band); }

    // Called (on any thread) when the keeper or GC may have something to do.
    void set_alarm(std::function<void()> alarm) { alarm_ = std::move(alarm); }

  private:
    // An open band's segments, and the cursors over their numbers:
    //
    //   0        published_frontier      frontier           submitted          next       the end
    //   | all are in   | settled: durable   | some are durable  | placed, wait    | room    |
    //   | the table    | and all before     | before others     | for their turn  |         |
    //                  |<------------ at most kWindow segments ---------------->|
    //   bits:            published_window:    window:
    //                    1 is in the table    1 is durable
    //
    // Segments become durable and published in any order, since several shards share the band: so
    // bits beyond a cursor. place() gives no place where they would not fit; who wants one waits
    // until the oldest is published. kWindow is all RAM segments of 8 shards.
    //
    // A strip that could not be written sets failed_from: the band ends there, the frontier never
    // passes it, and whoever has a place from there on leaves it for one in another band.
    //
    // Open at once are two bands of each stream (in use, and next), and those that are full and
    // have segments in flight: at most ArrayLayout::snapshot_bands().
    struct SharedState {  // any thread, without the lock; frontier and failed_from change under it
        std::atomic<std::uint32_t> valid{0};
        std::atomic<std::uint32_t> readers{0};
        std::atomic<std::uint32_t> frontier{0};
        std::atomic<std::uint32_t> submitted{0};
        std::atomic<std::uint32_t> failed_from{UINT32_MAX};
    };
    struct Band : SharedState {  // under the lock
        BandState state = BandState::free;
        Stream stream = Stream::user;
        bool moving = false;
        bool opening = false;
        bool not_erased = false;
        bool out_of_use = false;
        bool damaged = false;            // closed, and to be moved
        bool move_soon = false;          // likewise, for another reason
        bool unmended = false;           // was damaged, and could not be moved
        bool valid_is_estimate = false;  // valid may be some blocks off
        bool decided = false;            // by a recovery whose epoch has not begun
        std::uint32_t media_segments = 0;
        std::uint64_t sequence = 0;
        std::uint64_t epoch = 0;
        std::uint32_t next = 0;                // segments placed
        std::uint32_t in_flight = 0;           // of them neither published nor left
        std::uint32_t published_frontier = 0;  // all below are published
        std::uint64_t published_window = 0;    // and of those beyond, bit 0 the first
        std::uint32_t tombstones = 0;
        std::uint32_t segments = 0;  // when closed
        std::uint64_t window = 0;    // durable segments beyond the frontier, bit 0 the first
    };
    static constexpr std::uint32_t kWindow = 64;
    struct StreamState {
        std::optional<BandId> current;
        std::optional<BandId> next;
        bool opening = false;
        bool starved = false;
    };

    Band& at(BandId band) QS_REQUIRES(mutex_) { return bands_[band.value]; }
    const Band& at(BandId band) const QS_REQUIRES(mutex_) { return bands_[band.value]; }
    SharedState& shared(BandId band) { return bands_[band.value]; }
    const SharedState& shared(BandId band) const { return bands_[band.value]; }
    StreamState& stream(Stream s) QS_REQUIRES(mutex_) {
        return streams_[static_cast<std::size_t>(s)];
    }
    const StreamState& stream(Stream s) const QS_REQUIRES(mutex_) {
        return streams_[static_cast<std::size_t>(s)];
    }
    static void advance(std::uint64_t& window, std::uint32_t& frontier, std::uint32_t segment);
    bool full(const Band& band) const QS_REQUIRES(mutex_);
    void close_if_done(Band& band) QS_REQUIRES(mutex_);
    // Which waits for a collector that moves it, though not for space.
    static bool waits(const Band& band) { return (band.damaged || band.move_soon) && !band.moving; }
    void count_waiting(bool before, const Band& band) {
        if (waits(band) == before) return;
        to_mend_.fetch_add(before ? UINT32_MAX : 1, std::memory_order_relaxed);
    }
    void end_opening(BandId band, BandState state) QS_REQUIRES(mutex_);  // it comes to nothing
    void end_damage(Band& band) QS_REQUIRES(mutex_);
    bool wants_band(const StreamState& stream) const QS_REQUIRES(mutex_);
    void ring() const {
        if (alarm_) alarm_();
    }

    const ArrayLayout& layout_;
    mutable Mutex mutex_;
    std::vector<Band> bands_;  // as many for ever
    StreamState streams_[kStreams] QS_GUARDED_BY(mutex_);
    std::vector<BandId> free_list_ QS_GUARDED_BY(mutex_);
    std::vector<BandId> moved_list_ QS_GUARDED_BY(mutex_);
    std::atomic<std::uint32_t> free_{0};
    std::atomic<std::uint64_t> next_sequence_{1};
    std::atomic<std::uint64_t> placed_{0};
    std::atomic<std::uint32_t> out_of_use_{0};
    std::atomic<std::uint32_t> damaged_{0}, to_mend_{0}, unmended_{0};
    std::atomic<std::uint64_t> changes_{0};
    std::atomic<std::uint64_t> drives_came_{0};
    std::atomic<std::uint64_t> ends_{0};
    std::function<void()> alarm_;
};

}  // namespace qlcshape
