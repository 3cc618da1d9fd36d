// SPDX-License-Identifier: Apache-2.0
// From superblocks to an array that can serve, after a clean close or a crash. Every call blocks.
//
// After a crash, in this order (docs/write_path.md tells what a second crash between steps finds):
//   1 band table           which bands count; bands of an unfinished recovery are void
//   2 TPS                  the records that count, from whichever mirror has them
//   3 open bands           how many segments of each count: below the durable frontier all must be
//                          there, beyond it those that can be proved whole
//   4 replay               what only the TPS holds is committed, and what was proved beyond the
//                          frontier but lacks strips; read-only, kept in memory
//   5 decided              the caller makes the new epoch durable: from there on the TPS's old
//                          contents are void
//   6 table                brought up to date from the newest snapshot, or built from headers
//
// Step 3 for one open band: `x` whole, `m` mendable (a strip is wrong or missing), `.` torn:
//
//   segment   0 ... frontier - 1    | frontier:  x  x  | m  x      | .  x
//             count; what is wrong  | proved whole:    | committed | discarded: not settled, so
//             there is damage, not  | count in place   | again     | nothing was acknowledged by
//             a torn tail           |                  | (step 4)  | them
//
// The frontier is the highest that the band table, a TPS record or a header of the band names. The
// band is closed after the second x. Committing `m` again, and all after it, gives every segment
// that is kept its full redundancy, without a write into the middle of a band.
//
// An epoch across crashes. E is the epoch of the newest superblock, whose generation is g. Recovery
// writes everything under E + 1, which does not exist before a superblock names it:
//
//   on media, in order of time               a crash here, and what the next opening does
//   --------------------------------------   -----------------------------------------------------
//   g: superblock E, open; its TPS
//                                            recovers E again: nothing was written
//   bands of epoch E + 1 (replay)
//                                            finds bands above E: void, what they hold is also in
//                                            the TPS or beyond frontiers. reaffirm_epoch appends E
//                                            as g + 2; then they are erased and replay begins again
//   g + 1: superblock E + 1 (begin_epoch)
//      ... on some drives                    reads it anywhere: as below. On none (the drive can't
//                                            be read now): as above, and g + 2 outranks it for good
//      ... on all                            recovers E + 1: replayed bands count, the TPS of E is
//                                            void, old open bands are decided again from the same
//                                            strips, the table is brought up from a snapshot of E
//   band table: old open bands are closed
//                                            the same, but for the bands that are closed by now
//   table on SCM, then a snapshot of E + 1
//                                            begins at that snapshot
//   g + 2: superblock E + 1, g + 1 complete
//                                            a member without g + 1 is refused as older
//
// So an interrupted recovery leaves nothing that the next one builds on, and any number of crashes
// in a row has the same result. The order is: replay durable, epoch durable, decisions durable,
// table. Decisions before the epoch would close bands before segments whose copies are in void
// bands. The table before the epoch would forget an older block for one that was in flight, which
// the next recovery, with a drive less, may be unable to prove: then both are lost.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "device/team.h"
#include "format/snapshot_record.h"
#include "format/superblock.h"
#include "meta/band_load.h"
#include "meta/keeper.h"
#include "qlcshape/options.h"
#include "shard/shard.h"

namespace qlcshape {

// More versions than can be in flight at a crash: versions that only a discarded segment held are
// not given out again. Two contents of a block must never have one version, whatever a later
// recovery is able to read.
inline constexpr std::uint64_t kVersionGap = 1 << 20;

struct RecoveryReport {
    std::string kind;  // "clean", "snapshot", "full"
    std::uint64_t segments_scanned = 0;
    std::uint64_t tps_records = 0;
    std::uint64_t blocks_replayed = 0;
    std::uint64_t segments_discarded = 0;
    std::uint64_t segments_unread = 0;  // read-only: see Stats::Recovery
    std::vector<std::string> warnings;  // for the log
};

struct Recovered {
    RecoveryReport report;
    std::uint64_t next_version = 1;
    std::uint64_t used_blocks = 0;
    RecoveredBlocks blocks;  // read-only opens: what could not be committed
    // What is still to be entered into the table, in the order of LBAs; and the snapshot since
    // which it was found, which stays in force until that is done.
    std::vector<Patch> patches;
    std::optional<Snapshot> base;
    bool whole_table = false;  // read-only opens: the patches are all of the table
};

struct RecoveryInput {
    const ArrayContext& array;    // of the epoch about to begin
    const ArrayContext& crashed;  // of the epoch that ended: its number, key and shards
    const Superblock& superblock;
    LoadedBands loaded;
    std::optional<Snapshot> snapshot;  // the newest
    TableBitmap& bitmap;               // what of the table counts
    // A part of the bitmap is on no drive any more, so nobody knows what of the table counts.
    bool bitmap_lost = false;
    bool members_changed = false;  // by this opening: no superblock says so yet
    bool read_only = false;        // nothing may be written
    // A table of up to this many pages is brought up to date and counted at once.
    std::uint64_t counted_pages = 0;
    std::uint64_t kept_findings = 0;  // at once, of what came after the snapshot
    std::uint64_t version_gap = kVersionGap;
    BandTable& bands;  // empty; restored here
    BandKeeper& keeper;
    SpaceGate& gate;
    IoQueue& queue;
    const Team& team;            // for what is shared out
    std::uint64_t memory_bytes;  // DRAM that may be used for a while, if it is much
    Counters& counters;
    const Progress& progress;
    // Called when nothing is left that could refuse, before the other two, and before it is decided
    // which bands go on. A drive that is back may be out afterwards. Read-only: not called.
    std::function<Status()> take_back;
    // Called before anything of an epoch that did not begin is given up: makes durable that the
    // epoch is still the one that `superblock` names. Read-only: not called.
    std::function<Status()> reaffirm_epoch;
    // Called when all that recovery keeps is in segments of the new epoch, and before the table is
    // touched: makes that decision durable, and the epoch begin. Read-only: not called.
    std::function<Status(std::uint64_t next_version)> begin_epoch;
};

Result<Recovered> recover(RecoveryInput& input);

}  // namespace qlcshape
