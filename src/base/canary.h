// SPDX-License-Identifier: Apache-2.0
// Canaries: injected one-line bugs (mutants) that the simulator must catch. In builds with the
// CMake option QLCSHAPE_CANARIES one of them can be enabled at run time; in all others canary() is
// false at compile time, and no code of it remains. docs/faults.md lists them.
#pragma once

#include <cstdint>

namespace qlcshape {

enum class Canary : std::uint8_t {
    none,
    skip_tps_flush,             // acknowledge a record that may be only in a drive's cache
    one_mirror,                 // acknowledge a record before the second mirror has it durable
    split_atomic,               // an atomic write goes half into a record, half into a segment
    split_unaligned,            // the same, where it touches a block more than its size takes
    reuse_tps_early,            // overwrite records that are still needed
    merge_over_trim,            // merge part of a block with what a trim before it covers
    publish_unflushed,          // publish before data and parity are flushed
    publish_unsettled,          // publish before all earlier segments of the band are durable
    band_used_before_record,    // strips before the band table says `open`
    band_erased_before_record,  // discard before the band table says `erasing`
    band_freed_early,           // free a band before what was moved is settled
    exchange_always,            // GC's copy replaces whatever the table says by now
    forget_trim,                // GC does not carry tombstones
    ignore_crc,                 // reads return what the drive returned
    believe_direct_read,        // a thread that makes its own reads compares no checksums
    table_not_flushed,          // close without writing the table back
    decide_late,                // recovery changes the table before its decisions are durable
    keep_unproved_tail,         // segments beyond the frontier count by their header only
    keep_damaged_tail,          // those that lack strips stay as they are
    unread_is_zeroes,           // a strip that can't be read is right where zeroes belong
    drop_last_record,           // recovery forgets the newest record of a shard
    replay_in_band_order,       // recovery takes the last header that it sees, not the newest
    snapshot_too_new,           // a snapshot counts before the pages that it covers are written
    snapshot_unflushed,         // a snapshot counts before those pages are flushed
    bits_after_snapshot,        // a snapshot counts before the bitmap says which pages were written
    bits_before_pages,          // the bitmap says that pages were written before they are flushed
    clean_if_any,               // a clean close counts if one member has its superblock
    unlike_copies_stay,         // recovery leaves copies of a page of the table that differ
    one_copy_written,           // a page is written back to one of its drives alone
    returned_scm_taken,         // an SCM drive that was out is in without a copy
    resilver_without_table,     // it gets no pages of the table
    joins_without_table,        // one that comes in while the array is open has no pages of it
    snapshot_of_any,            // a snapshot counts for scm drives that don't have it
    older_qlc_taken,            // a QLC drive that lacks the newest strips is accepted as current
    older_scm_taken,            // a band table older than the contents of the QLC drives counts
    older_tps_taken,            // a TPS that lacks what segment headers acknowledge counts
    diverged_taken,             // a drive of a copy that was opened by itself counts
    in_before_in_force,         // a drive is in again before all others know it
    returned_not_erased,        // a drive that is back keeps strips of bands that no longer are
    absent_is_named,            // a band that is opened names a drive that is missing
    left_before_record,         // a drive is out before the superblocks of the others say so
    left_band_goes_on,          // segments count in bands that name a drive which has left
    replaced_is_named,          // bands still name what a drive had whose place is taken
    replaced_before_forgotten,  // it is taken before the bands' records are durable
    removed_with_bands,         // a drive on which bands have columns is removed
    scrub_sees_nothing,         // the scrub takes what is wrong for right
    rebuilt_unflushed,          // a band's record names a column before that is flushed
    rebuilt_over_remains,       // a column is written where an earlier attempt left something
    freed_with_remains,         // a band gets a slot with what an attempt left in it
    drop_poison,                // GC does not carry blocks that are lost
    gap_ends_tps,               // an acknowledged record that no mirror has ends the TPS
    count,
};

#ifdef QLCSHAPE_CANARIES
inline Canary awake_canary = Canary::none;  // set before anything runs
inline bool canary(Canary c) { return awake_canary == c; }
#else
constexpr bool canary(Canary) { return false; }
#endif

}  // namespace qlcshape
