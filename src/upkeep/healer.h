// SPDX-License-Identifier: Apache-2.0
// Rebuilds in place what closed bands lack on drives that are there: columns that could not be
// written, since a drive was missing when the band was opened, or that were lost with a drive whose
// place another has taken. Columns on a drive that drains move to other drives likewise; until the
// record says so they count where they were. No block is moved, and no entry of the table changes:
// a column gets the strips that it would have had.
//
//   step       what                                          a cut here, or the end of the attempt
//   --------   -------------------------------------------   ----------------------------------
//   erasing    the slots that the columns get                 the band is as it was. What is in the
//   reading    a piece of k strips of a segment; the others   slots counts nowhere: it is erased
//              are computed, and all data is proved by its    before anybody uses them
//              checksums
//   writing    the strips of the columns, each whole
//   flushing   the drives that have them; other threads'      likewise
//   others     flushes that overlap
//   recording  the keeper writes the band's record            it has the columns, or not
//
// It holds the band only while it is at a segment, so nothing of it is on the way to a slot when
// the band is erased.
//
//   which band          what
//   hardly valid        GC moves it: that writes less. These are looked for first
//   fewest columns      before others: the next drive that fails may take data with it
//   something in it     it is marked as damaged, and GC moves it, block by block
//   is not as written
//   being moved         when that has an end, it is looked at again
//   could not be moved  it is tried nevertheless, if it is not out of use
//   on full drives      at last, where there are more drives than columns: a column moves to one
//                       that has few, as one that was added
//
// An actor of the first GC thread. One strip of each drive at a time, so users' reads and writes
// wait for one transfer on each at most.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "band/band_table.h"
#include "band/space_gate.h"
#include "base/actor.h"
#include "base/counters.h"
#include "format/segment_header.h"
#include "meta/keeper.h"
#include "raid6/parity.h"

namespace qlcshape {

class Healer final : public Actor {
  public:
    Healer(const ArrayContext& array, BandTable& bands, const SpaceGate& gate, BandKeeper& keeper,
           IoQueue& queue, Counters& counters);

    bool poll() override;
    bool busy() const override {
        return step_ != Step::idle || attempts_ != 0 || look_ != Look::done;
    }
    void begin(Phase) override { closing_ = true; }
    bool done_with(Phase) override {
        return step_ == Step::idle || (gate_.failed() && pending_ == 0);
    }
    bool failed() const override { return false; }

    // Any thread: transfers of its own that have ended.
    std::uint64_t transfers_ended() const { return ended_.load(std::memory_order_relaxed); }
    // Any thread: how often, after some were rebuilt, none was left for it.
    std::uint64_t rounds() const { return rounds_.load(std::memory_order_acquire); }
    // Any thread. Until it has its columns, or the rebuild is given up.
    bool rebuilds(BandId band) const {
        return rebuilds_.load(std::memory_order_relaxed) == band.value;
    }
    std::uint64_t memory_bytes() const;

  private:
    enum class Step : std::uint8_t { idle, erasing, reading, writing, flushing, others, recording };
    // The second time that a drive refuses something in the same place ends it; three in a row
    // would make it go out.
    static constexpr std::uint32_t kAttempts = 4, kRefusals = 2;
    static constexpr std::uint64_t kChangesBeforeAgain = 64;  // of the bands
    static constexpr std::uint32_t kLooksPerChange = 64;      // at bands, for one that changes
    static constexpr std::uint32_t kLooksPerPoll = 4;         // likewise, for one without a change

    // Which band.
    bool look();
    std::optional<BandId> next_narrow();
    void next_look();
    DriveSet to_leave(BandId band) const;
    bool looks_again();
    bool room_changed();
    std::optional<BandId> narrow_that_closed();
    void begin_band(BandId band, bool rebuild);
    void choose_places();
    void give_places_back();
    bool hardly_valid(const BandTable::Life& life) const;

    // Its columns.
    void erase();
    void begin_segment();
    bool choose_sources();
    void read_piece();
    void piece_read();
    bool proved();
    void not_read();
    void note_damage();
    void count_wrong();
    void write_strips();
    void strips_written();
    void flush();
    void wait_for_others();
    void flushed();
    void record();
    void recorded(bool counts);
    void try_again();
    void refused();
    void leave_to_collectors();
    void end_band();
    void end_hold();

    Io& next_io(IoKind kind, PersistencePoint point, const NewColumns::One& column);
    void submit();
    void transfer_ended(const Io& io);
    bool is_lost(std::uint32_t role) const { return role == lost_[0] || role == lost_[1]; }
    std::byte* piece_of(std::uint32_t role) const;
    SegmentHeader header() const { return SegmentHeader(array_.layout, header_.data()); }

    const ArrayContext& array_;
    BandTable& bands_;
    const SpaceGate& gate_;
    BandKeeper& keeper_;
    IoQueue& queue_;
    Counters& counters_;
    const std::uint32_t width_;
    const std::uint64_t piece_bytes_;  // of a strip, at most
    Buffer rows_;                      // by role: a piece of its strip
    Buffer strips_;                    // of the columns, whole
    Buffer header_;
    std::vector<Io> ios_;
    std::uint32_t used_ios_ = 0;
    std::uint32_t pending_ = 0;
    bool any_failed_ = false;      // of those that were submitted last
    bool system_refused_ = false;  // likewise
    bool kept_ = false;            // some of their memory, by a drive
    std::atomic<std::uint64_t> ended_{0};

    // All bands are looked at from the last to the first: for those that are hardly valid, for
    // those with k columns, for the others. Those that are open wait until they are closed.
    // Where nothing lacks anything columns move from drives that have many to those that have few.
    enum class Look : std::uint8_t { hardly_valid, no_parity, all, even, done };
    Look look_ = Look::hardly_valid;
    std::uint32_t left_;
    std::uint64_t drives_seen_ = 0;  // BandTable::drives_came()
    std::vector<BandId> narrow_open_;
    std::uint64_t open_seen_ = 0;  // BandTable::changes() when all of them were open
    // Some are left to GC: after an end of any of them (BandTable::ends()) all are looked at again.
    bool skipped_ = false;
    std::uint64_t ends_seen_ = 0;
    // So they are, where bands share slots and any lacks a column, when bands have got columns or
    // lost them since: there may be room now. Looking takes a while: only after many changes, or
    // when there was none for as long.
    bool lacks_ = false;
    std::uint64_t losses_seen_ = 0, changes_seen_ = 0, last_change_ = 0;
    std::uint32_t quiet_polls_ = 0;
    // Places that a rebuild had, and others may have lacked in this round. Once for each change,
    // for it may fail again.
    bool gave_back_ = false;
    std::uint64_t gave_back_seen_ = UINT64_MAX;
    bool any_rebuilt_ = false;                 // in this round
    bool any_evened_ = false;                  // since Look::even began
    std::optional<std::uint64_t> refused_at_;  // BandTable::changes() when the system refused it
    std::atomic<std::uint64_t> rounds_{0};

    // The band that is being rebuilt.
    static constexpr std::uint32_t kNone = UINT32_MAX;
    Step step_ = Step::idle;
    std::atomic<std::uint32_t> rebuilds_{kNone};
    NewColumns columns_;
    std::uint32_t refusals_ = 0;
    std::uint32_t attempts_ = 0;            // 0: none
    std::uint64_t failed_flushes_[2] = {};  // by column: of its drive, before the first write
    OtherFlushes others_{2};
    std::uint32_t segments_ = 0;
    std::uint32_t segment_ = 0;
    bool holds_ = false;
    bool header_good_ = false;
    std::uint64_t offset_ = 0;    // in each strip
    std::uint64_t bytes_ = 0;     // of this piece
    bool again_ = false;          // the segment is read for the second time
    DriveSet avoided_;            // that could not be read in this band
    std::uint32_t lost_[2] = {};  // the roles that are computed
    std::array<std::byte*, kMaxDataStrips + 2> strip_of_{};  // by role: a new column's; or null
    bool closing_ = false;
};

}  // namespace qlcshape
