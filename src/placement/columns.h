// SPDX-License-Identifier: Apache-2.0
// Where the columns of all bands lie. A band's record in the band table says it; this is that part
// of the records in DRAM. A band gets its columns when it is opened, before its record is written.
//
// An array may have more drives than a band has columns. Then each band is on other drives, those
// with the most free slots, so that load and space stay even, and a lost drive's columns are
// rebuilt from all others to all others:
//
//             drive  0  1  2  3  4  5  6       k = 3, seven drives, one of them spare
//   band 0           .  0  .  1  2  3  4       numbers of its columns
//   band 1           0  .  1  .  2  3  4
//   band 2           0  1  2  3  .  4  .
//
// With B bands free, of which each is to get c columns, the drives have room as long as the sum of
// min(free slots, B) over all drives is at least c * B. Where all drives are there, a band that is
// opened or freed leaves that so for c = k + 2, since those with the most free slots are taken
// first: a drive never has more than B. While some are missing there is less room: then a band gets
// its last column, when it is opened or by a rebuild, if all that are free can still have k + 1,
// and the one before it if they can have k.
#pragma once

#include <atomic>
#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

#include "format/band_page.h"
#include "format/layout.h"
#include "placement/slots.h"

namespace qlcshape {

using DriveSet = std::bitset<Column::kNobody>;  // QLC drives by number

class Columns {
  public:
    // As if each band had been opened in turn; but no slot is taken.
    explicit Columns(const ArrayLayout& layout);
    // Where the columns lie; no slot is taken.
    Columns(const Columns& other);

    // --- any thread ---
    // While the band is in use it may lose one that is on a drive that is out, get one that it
    // lacked, or have one move, and nothing else changes. In one order with BandTable's readers:
    // who counts as one before it looks is seen by whoever moves a column, then asks for readers.
    // While it is being opened only statistics look, and what
    // they see of it may be half of each.
    Column of(BandId band, std::uint32_t column) const {
        return Column::unpack(columns_[place(band, column)].load(std::memory_order_seq_cst));
    }
    // Columns when it was opened: roles rotate by this.
    std::uint32_t rotation(BandId band) const {
        return rotations_[band.value].load(std::memory_order_relaxed);
    }
    // Those that have one.
    DriveSet drives(BandId band) const;
    // Whether these drives have room for one that it lacks, or has on a drive that drains.
    bool can_get_one(BandId band, const DriveSet& drives, const DriveSet& draining) const {
        return drive_for_one(band, drives, {}, draining).has_value();
    }
    // Each drive has a slot for each band, which no other band ever gets: there are as many drives
    // as columns.
    bool own_slots() const { return slots_.drives() == width_; }
    // Whether they have room for a band with at least k columns.
    bool have_room(const DriveSet& drives) const;
    // Likewise for all bands that are free. It stays so on these drives, whatever is opened, freed
    // or rebuilt, if all bands in use have k columns there.
    bool free_bands_fit(const DriveSet& drives) const {
        return own_slots() || fit(drives, {}, bands_free(), k_);
    }
    // Whether they have room for all that bands have on those, and all columns of those that are
    // free.
    bool have_room_for_all_of(const DriveSet& those, const DriveSet& drives) const;
    // That of its drives which is fullest, if another one of these has more room, by more than is
    // usual.
    std::optional<std::uint32_t> too_full(BandId band, const DriveSet& drives) const;
    // Whether so many drives have room for all columns of all bands.
    bool are_enough(std::size_t drives) const {
        return drives * band_slots_ >= columns_.size() && drives >= width_;
    }
    // Slots that nobody has, and those that somebody has.
    std::uint32_t taken_on(std::uint32_t drive) const { return slots_.taken_on(drive); }
    std::uint32_t free_on(std::uint32_t drive) const { return slots_.free_on(drive); }
    // Whether one of its columns is nowhere, or on such a drive. Of a free band: of its last life.
    bool lacks_one(BandId band, const DriveSet& draining) const {
        return (drives(band) & ~draining).count() < width_;
    }
    // Goes up when a band gets its columns, or loses one or all: there may be room for another one
    // now, or another one lacks some.
    std::uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }
    // Goes up when a band gets fewer than k + 2, or loses one.
    std::uint64_t losses() const { return losses_.load(std::memory_order_relaxed); }
    std::uint64_t memory_bytes() const {
        return columns_.size() * sizeof(columns_[0]) + rotations_.size() + slots_.memory_bytes();
    }

    // --- set-up, one thread ---
    void set(BandId band, std::uint32_t column, Column to) {
        columns_[place(band, column)].store(to.packed(), std::memory_order_seq_cst);
    }
    void set_rotation(BandId band, std::uint32_t rotation) {
        rotations_[band.value].store(static_cast<std::uint8_t>(rotation),
                                     std::memory_order_relaxed);
    }
    // No band has any slot. Then take() those of each that has columns.
    void free_all();
    void take(BandId band);

    // --- the thread that gives bands their columns ---
    // For a free band that is to be opened, on some of these drives: k to k + 2. False: they have
    // no room.
    bool choose(BandId band, const DriveSet& drives);
    bool is_erased(Column at) const { return slots_.is_erased(at.member, at.slot); }
    void set_erased(Column at) { slots_.set_erased(at.member, at.slot); }
    // Of a band that is being opened: it does without its columns on these drives, and their slots
    // are not used any more. False: too few would be left.
    bool do_without(BandId band, const DriveSet& drives);
    // The band is free. `erased`: the drives on which it is.
    void release(BandId band, const DriveSet& erased);
    // Another drive is to be there: it can be erased.
    void forgive(std::uint32_t drive) { slots_.forgive(drive); }
    // The band has none on that drive any more.
    void drop(BandId band, std::uint32_t drive);
    // A slot on one of these drives for a column that it lacks, or has on a drive that drains, in
    // addition to those that it is to get on `others`; move() gives it to the band.
    std::optional<Column> reserve(BandId band, const DriveSet& drives, const DriveSet& others = {},
                                  const DriveSet& draining = {});
    // The column is there from now on, and where it was before, if anywhere, is returned. Who
    // looked before may still read there: that slot is used again after reuse().
    Column move(BandId band, std::uint32_t column, Column to);
    void reuse(Column left);
    void give_back(Column at) { slots_.give_back(at.member, at.slot, false); }

  private:
    std::size_t place(BandId band, std::uint32_t column) const {
        return std::size_t{band.value} * width_ + column;
    }
    std::uint32_t bands_free() const { return bands_free_.load(std::memory_order_relaxed); }
    bool fit(const DriveSet& drives, const DriveSet& one_less, std::uint32_t bands,
             std::uint32_t columns) const;
    bool leaves_room(const DriveSet& drives, const DriveSet& taken, std::uint32_t bands,
                     std::uint32_t columns) const;
    std::optional<std::uint32_t> drive_for_one(BandId band, const DriveSet& drives,
                                               const DriveSet& others,
                                               const DriveSet& draining) const;
    std::uint32_t first_slot(BandId band) const;
    bool has_slot(BandId band, std::uint32_t drive) const;
    void give(BandId band, const DriveSet& drives);
    void end_columns(BandId band, std::uint32_t used);
    void count_loss();
    bool has_more_room(BandId band, std::uint32_t one, std::uint32_t other) const;
    DriveSet roomiest(BandId band, const DriveSet& drives, std::uint32_t count) const;

    std::uint32_t k_, width_, band_slots_;
    std::vector<std::atomic<std::uint32_t>> columns_;   // packed, by band
    std::vector<std::atomic<std::uint8_t>> rotations_;  // by band
    std::atomic<std::uint32_t> bands_free_;             // that have no slots
    std::atomic<std::uint64_t> changes_{0}, losses_{0};
    Slots slots_;
};

}  // namespace qlcshape
