// SPDX-License-Identifier: Apache-2.0
// Which drives take part in what is written, and which of them missed some of it.
//
// An opening for writing goes on without one or two QLC drives that are missing. Its first
// superblock says that they are out, and nothing is acknowledged, erased or written to a new band
// before that is durable. What such a drive missed is not kept as a list: bands that were opened
// without it don't name it. So when it is back it has all of the columns that name it, whatever it
// holds elsewhere is void, and it is in again:
//
//   bands  1 2 3 | 4 5      drive C was out while 4 and 5 were opened: they name A, B, D alone. Its
//   A      x x x | x x      slots that no band names are erased when it returns, for it may hold
//   B      x x x | x x      strips there of bands that were freed in the meantime.
//   C      x x x | . .
//   D      x x x | x x
//
// Nor is an SCM drive needed where each page of the table has a copy on another. One that was out
// lacks records of the journal and newer pages, so it is in again only after everything on it was
// written anew (meta/resilver.h).
//
// An opening needs an SCM drive that is in by the newest record of any drive. What that one says is
// what was so at the last opening, and a drive that it says is out has no voice: it may hold a
// record of an opening that was cut off and that nobody else knows.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/error.h"
#include "format/band_page.h"
#include "meta/superblock_store.h"

namespace qlcshape {

// The newest of what members of one array say, at least one. That the array was closed cleanly
// counts only if each of them that is in, by this record, says so: otherwise the power went in the
// middle of that append, or a member is as it was before, and the state is open. To recover without
// need costs time; to trust a table, of which a part is older, would cost data.
Superblock newest_superblock(const std::vector<const SeenSuperblock*>& seen);

enum class Standing : std::uint8_t {
    current,   // nothing, or what an interrupted append explains, is missing on it
    out,       // it missed what bands say that it missed, and no more
    older,     // it lacks what it once had
    diverged,  // it went on by itself, in a copy of the array
};

// The newest generation that an scm drive has which is in, and that this member was to have before
// it: each record is durable on the QLC drives that are in by it before the scm drives get it.
std::uint64_t newest_due(const Superblock& newest, const std::vector<const SeenSuperblock*>& seen,
                         const MemberRecord& member);

// Of a member, by its newest superblock. `on_scm`: newest_due(). A QLC drive that is behind lacks
// what it had, unless the record that would show it is damaged.
Standing standing_of(const Superblock& newest, const MemberRecord& member,
                     const SeenSuperblock& seen, std::uint64_t on_scm);

// Of a member that is out: the record with which it left. A drive of a copy that was opened by
// itself has others from then on.
SuperblockMark left_with(const MemberRecord& member);

// The record of that generation and key on a drive; null: it is not there.
const SuperblockMark* find_record(const SeenSuperblock& seen, const SuperblockMark& mark);

// A member goes out. `had`: the newest record that is on it for sure; `newest`: the generation of
// the newest on any drive.
void goes_out(MemberRecord& member, const SuperblockMark& had, std::uint64_t newest);

// It has everything that it should have.
void comes_in(MemberRecord& member);

// For an opening for writing, before it writes anything: who is missing is out, and who is there is
// in, but for an SCM drive that was out. Whether anything changed. It counts when the superblock is
// written.
// `had`: what all that were in have had.
bool take_stock(Superblock& superblock, std::vector<MemberDevice>& members,
                const SuperblockMark& had);

// Refuses where a band that counts has fewer columns on these drives than data strips. Those of
// epochs above `epoch` are void.
Status refuse_if_unreadable(const ArrayContext& array, const std::vector<BandRecord>& records,
                            std::uint64_t epoch);

// By slot of a QLC drive: whether a band has its column there. `has_columns`: of a band. `named`:
// as many as the drive has slots, all false.
template <typename HasColumns>
void find_named_slots(const ArrayContext& array, std::uint32_t drive, HasColumns has_columns,
                      std::vector<bool>& named) {
    const ArrayLayout& l = array.layout;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        if (!has_columns(BandId(i))) continue;
        for (std::uint32_t c = 0; c < l.width(); ++c) {
            const Column place = array.columns->of(BandId(i), c);
            if (place.there() && place.member == drive) named[place.slot] = true;
        }
    }
}

std::vector<bool> named_slots(const ArrayContext& array, const std::vector<BandRecord>& records,
                              std::uint32_t drive);

// Erases on a drive that was out what no band names. Afterwards it holds what its columns say, and
// nothing else. `progress`: called now and then with the percentage.
Status erase_unnamed(const ArrayContext& array, const std::vector<BandRecord>& records,
                     std::uint32_t drive, IoQueue& queue,
                     const std::function<void(double percent)>& progress);

}  // namespace qlcshape
