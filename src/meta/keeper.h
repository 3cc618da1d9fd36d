// SPDX-License-Identifier: Apache-2.0
// Makes band states durable before they count: a band's opening before its first strip, its erasing
// before its discard. Runs as an actor on a GC thread; the only writer of the band table while the
// array is in use. Changes of one round share page writes.
//
// A round in which bands 7 and 9 are opened and band 3 is erased, and what a cut in it leaves:
//
//   discard           what the slots of bands 7 and 9   nothing: nobody names them
//                     may hold, if anything
//   write the pages   to place A or B by their          a page is as before (its other place), or
//                     generation, on every scm drive    says open: a band without a segment
//   flush             scm drives with a cache           from here on streams may use 7 and 9
//   discard           band 3, on every QLC drive        its record says erasing: the next opening
//                                                       discards it again
//   free              in DRAM; the record follows       likewise
//                     when its page is next written.
//                     Where others may get its slots,
//                     that is in the next round, before
//                     they do
//
// A closed band gets columns that it lacked, or has them elsewhere (record_columns()), in such a
// round, too: they are in the page, and after the flush in DRAM. So nobody counts on one that a cut
// could take away.
//
// So a strip lies only in bands whose opening every scm drive knows, and what was discarded counts
// nowhere, whichever scm drive is read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "band/band_table.h"
#include "band/space_gate.h"
#include "base/actor.h"
#include "base/buffer.h"
#include "base/counters.h"
#include "placement/array_context.h"

namespace qlcshape {

// Columns of a closed band that it lacked, or that move, each whole and durable where it is to be
// from now on.
struct NewColumns {
    struct One {
        std::uint32_t column = 0;
        Column at;  // slot and number of the drive
        Device* drive = nullptr;
    };
    BandId band;
    std::uint64_t sequence = 0;
    std::array<One, 2> all;
    std::uint32_t count = 0;
    std::span<const One> columns() const { return {all.data(), count}; }
    // Each drive is still the one in its place, and takes columns.
    bool drives_stay(const ArrayContext& array) const;
};

class BandKeeper final : public Actor {
  public:
    // `generations`: of each page of the band table on media.
    BandKeeper(const ArrayContext& array, BandTable& bands, SpaceGate& gate,
               std::vector<std::uint64_t> generations, IoQueue& queue, Counters& counters);

    bool poll() override;
    bool busy() const override { return !idle(); }
    void begin(Phase phase) override;
    bool done_with(Phase phase) override;
    bool failed() const override { return failed_; }
    // There is a free band, and room for its columns.
    bool can_open() const;
    // Those that are freed are recorded in the next round; in an array that failed there is none.
    bool idle() const {
        return pending_ == 0 && step_ == Step::idle && (freed_.empty() || gate_.failed());
    }
    // Rewrites every page gradually, so that the counts on media are not far behind.
    void refresh() {
        if (!rewriting_) refresh_ = 0;  // else it would never come to an end
    }
    // Any thread; of a QLC drive that is out. No band has a column on it any more, and that becomes
    // durable: forgets() until then. One drive at a time.
    void forget_drive(std::uint32_t drive) { to_forget_.store(drive, std::memory_order_release); }
    bool forgets() const { return to_forget_.load(std::memory_order_acquire) != kNoDrive; }
    // Any thread; of a QLC drive that comes back, and that everyone sees already. What no band
    // names on it is erased: comes_back() until then. give_up_bringing_back() ends that soon; when
    // comes_back() is false nothing of it is under way. One drive at a time.
    void bring_back(std::uint32_t drive) {
        back_refused_.store(false, std::memory_order_relaxed);
        back_slot_.store(kSuperblockUnits, std::memory_order_relaxed);
        back_.store(drive, std::memory_order_release);
    }
    bool comes_back() const { return back_.load(std::memory_order_acquire) != kNoDrive; }
    void give_up_bringing_back() { back_refused_.store(true, std::memory_order_relaxed); }
    // Then: something could not be erased, or it was given up.
    bool back_refused() const { return back_refused_.load(std::memory_order_relaxed); }
    // The next slot to be erased.
    std::uint32_t back_slot() const { return back_slot_.load(std::memory_order_relaxed); }
    // The keeper's thread; one at a time. recorded() has the outcome, once: they count from now on;
    // or not, since the band or a drive is not what it was.
    void record_columns(const NewColumns& columns) {
        to_record_ = columns;
        recorded_.reset();
    }
    std::optional<bool> recorded() { return std::exchange(recorded_, std::nullopt); }
    // Any thread. Each page is written again to both its places, twice after one pass that may be
    // under way: rewrites() until then.
    void rewrite() { passes_.store(3, std::memory_order_release); }
    bool rewrites() const { return passes_.load(std::memory_order_acquire) != 0; }
    const std::vector<std::uint64_t>& generations() const { return generations_; }
    void set_generations(std::vector<std::uint64_t> generations) {
        generations_ = std::move(generations);
    }

  private:
    enum class Step : std::uint8_t { idle, clearing, writing, flushing, discarding };
    static constexpr std::uint32_t kErasesPerRound = 8;
    // Those that are erased, those that were before, those that are opened, one that is recorded.
    static constexpr std::uint32_t kMostPages = 2 * kErasesPerRound + kStreams + 1;
    static constexpr std::uint32_t kTries = 8;
    static constexpr std::uint32_t kNoDrive = UINT32_MAX;
    static constexpr std::size_t kOfSlot = SIZE_MAX;

    bool gather();
    bool can_record() const;
    void reuse_slots();
    void forgive(std::uint32_t drive);
    void end_recording(bool recorded);
    void clear_slots();
    void slots_cleared();
    void begin_round();
    void free_bands();
    void fail();
    void discard_of(std::size_t erasing);
    void begin_forgetting();
    void begin_bringing_back();
    bool erases_slots() const { return comes_back() && !back_named_.empty(); }
    void discard_slots();
    void end_bringing_back();
    bool refreshing() const { return refresh_ < generations_.size() && !closing_; }
    void write_pages();
    void flush();
    void discard();
    void finish();
    Io& next_io(IoKind kind, Device* device, std::uint64_t offset, std::uint64_t bytes,
                std::byte* data);
    void submit_round();
    void io_done(const Io& io);

    const ArrayContext& array_;
    BandTable& bands_;
    SpaceGate& gate_;
    IoQueue& queue_;
    Counters& counters_;
    std::vector<std::uint64_t> generations_;
    struct Cleared {
        BandId band;
        Column at;
        bool erased = false;
    };
    std::vector<BandId> opening_;
    std::vector<Cleared> cleared_;  // by discard: slots of those
    std::uint32_t tries_ = 0;       // to open a band, in a row, that ended for drives that fail
    std::vector<BandId> erasing_;
    struct Freed {
        BandId band;
        DriveSet erased;  // the drives on which it is
    };
    std::vector<Freed> freed_;               // discarded; that they are free is not on media yet
    std::vector<const Device*> refused_by_;  // of each: a drive that did not discard its part
    std::vector<DriveSet> erased_on_;        // of each: the drives that discard their part
    std::vector<std::size_t> erasing_of_;    // by discard: which of them, or kOfSlot
    // Slots that columns have left, and that may still be read. More are used again after the next
    // opening.
    struct Left {
        BandId band;
        Column at;
    };
    static constexpr std::size_t kMostLeft = 64;
    std::vector<Left> left_;
    std::optional<NewColumns> to_record_;
    std::optional<bool> recorded_;
    bool recording_ = false;  // in this round
    std::vector<std::uint64_t> pages_;
    Buffer blocks_;
    std::vector<Io> ios_;
    std::uint64_t refresh_ = UINT64_MAX;  // next page to refresh
    std::atomic<std::uint32_t> to_forget_{kNoDrive};
    std::atomic<std::uint32_t> passes_{0};
    std::atomic<std::uint32_t> back_{kNoDrive};
    std::atomic<bool> back_refused_{false};
    std::atomic<std::uint32_t> back_slot_{0};
    Device* back_drive_ = nullptr;
    std::vector<bool> back_named_;  // by slot of that drive: a band names it. Empty: not looked yet
    bool rewriting_ = false;
    bool forgetting_ = false;  // its columns are gone; pages that have them are on media
    std::size_t used_ios_ = 0;
    std::size_t pending_ = 0;
    Step step_ = Step::idle;
    bool closing_ = false;
    bool failed_ = false;
};

// Encodes page `page` of the band table in its current state, with these columns of a band, and as
// if those that are `freed` were free.
void encode_band_page(const ArrayContext& array, const BandTable& bands, std::uint64_t page,
                      std::uint64_t generation, std::byte* block, const NewColumns* with = nullptr,
                      const std::function<bool(BandId)>& freed = {});

// Writes every page of it, with the next generation, to all scm drives. Not flushed. Blocks.
Status write_band_table(const ArrayContext& array, const BandTable& bands,
                        std::vector<std::uint64_t>& generations, IoQueue& queue);

}  // namespace qlcshape
