// SPDX-License-Identifier: Apache-2.0
// What makes an epoch begin: superblocks, the band table and the first snapshot, in their order.
#include <optional>

#include "engine/core.h"
#include "engine/ending.h"
#include "engine/limits.h"
#include "meta/snapshot_store.h"
#include "placement/failures.h"

namespace qlcshape {

// Waits until a keeper on the control queue has nothing left to do, or does nothing any more since
// a drive failed. Afterwards no page of the band table is being written, so the caller may.
Status Core::settle(BandKeeper& keeper) {
    while ((!keeper.idle() && !keeper.failed()) || control_->in_flight() != 0) {
        const bool any = keeper.poll();
        if (control_->poll() == 0 && !any) control_->wait(1000);
    }
    if (!keeper.failed()) return {};
    return fail(Errc::io_error,
                "array {}: an scm drive failed while the band table was written: {}",
                superblock_.name, failed_opening(control_->last_failed_write(), array_));
}

// The new epoch's first snapshot: the table is complete now, or the one before stays in force, with
// its contents under the new epoch, until the patches are in the table. The bitmap first: what it
// lacks of pages that recovery wrote would count as never written.
Status Core::write_first_snapshot() {
    QS_TRY(write_bitmap(array_, *bitmap_writer_, *control_));
    Snapshot s;
    if (recovered_.base) {
        s = *recovered_.base;
    } else {
        s.next_version = next_version_;
        bands_->published_now(s);
    }
    s.epoch = array_.epoch;
    s.generation = snapshot_generation_ + 1;
    s.used_blocks = recovered_.used_blocks;
    s.counters = lifetime();
    return write_snapshot(array_, s, *control_);
}

// RecoveryInput::reaffirm_epoch. A recovery that was cut off may have written a superblock of the
// next epoch to a drive or two that could not be read correctly this time. That one has the next
// generation. So this append skips a number: write_superblock() takes the one after it, and the
// record of the present epoch is the newest on any drive.
Status Core::reaffirm_epoch() {
    ++superblock_.generation;
    QS_TRY(write_superblock());
    superblock_.complete_generation = superblock_.generation;
    return {};
}

// RecoveryInput::begin_epoch. All that is kept is in segments; from here on the new epoch counts.
// Until its first snapshot is there the newest of an earlier epoch does for the table.
//
//   settle()        the keeper rests: no page of the band table is being written
//   superblock      E + 1 counts from its first whole copy on; the TPS of E is void
//   epoch_begun()   from here on band records say what recovery decided on open bands
//   band table      ... and all of these decisions are made durable
//
// The decisions must not come before the superblock. A band would then be closed before segments
// that were committed again in bands of E + 1; after a cut those bands are void, and what the
// segments held would be lost. recover.h has a picture of an epoch across crashes.
Status Core::begin_epoch(std::uint64_t next_version, BandKeeper& keeper, ArrayState before) {
    QS_TRY(settle(keeper));
    superblock_.state = ArrayState::open;
    superblock_.epoch = array_.epoch;
    superblock_.epoch_key = array_.epoch_key;
    superblock_.shards = array_.shards;
    superblock_.next_version = next_version;
    superblock_.next_band_sequence = bands_->next_sequence();
    QS_TRY(write_superblock());
    superblock_.complete_generation = superblock_.generation;
    // Only now may the decisions of recovery stand on media.
    bands_->epoch_begun();
    return before == ArrayState::clean ? Status{} : write_band_table(keeper);
}

// The table is as it must be. The second superblock says of the first that every member has it: a
// member left behind is then detected at the next opening. The snapshot comes first: a cut between
// the two only leaves a superblock that promises less than there is.
Status Core::complete_epoch() {
    QS_TRY(write_first_snapshot());
    superblock_.next_version = recovered_.next_version;
    QS_TRY(write_superblock());
    superblock_.complete_generation = superblock_.generation;
    return {};
}

// After a failure nothing more is written: neither on top of it, nor what depends on what failed.
Status Core::refuse_if_stopped() const {
    if (!gate_->failed()) return {};
    return fail(Errc::io_error, "array {}: it stopped {}; {}", superblock_.name, cause(), remedy());
}

Status Core::refuse_if_ending() const {
    if (stopped_) return fail(Errc::closed, "array {}: it is being closed", superblock_.name);
    return refuse_if_stopped();
}

// Under control_mutex_, or while opening. Without memory for it nothing has changed, and the array
// stays as it is. QLC drives that don't take it leave, if the array can do without. After any other
// failure it is not known where on each drive the next one goes: the engine stops.
Status Core::write_superblock() {
    for (bool again = false;; again = true) {
        QS_TRY(refuse_if_stopped());
        std::optional<SuperblockAppend> append;
        const Status made = within_limits("array " + superblock_.name, [&]() -> Status {
            append.emplace(superblock_, members_);
            return {};
        });
        if (!made && again) gate_->fail(*control_);  // some drives have the one before
        QS_TRY(made);
        const Status written = in_words(
            Errc::io_error, [&] { return append->write(superblock_, members_, *control_); });
        if (append->on_qlc())
            on_qlc_ = {superblock_.generation, superblock_.epoch, superblock_.epoch_key};
        if (written) {
            finish_leaving();
            return {};
        }
        const MemberSet refused = append->refused_by();
        if (refused.none() || !can_go_on_without(leaving() | refused)) {
            gate_->fail(*control_);
            wake_workers();
            return written;
        }
        begin_leaving(refused);
    }
}

Status Core::write_band_table(BandKeeper& keeper) {
    auto generations = keeper.generations();
    QS_TRY(qlcshape::write_band_table(array_, *bands_, generations, *control_));
    keeper.set_generations(std::move(generations));
    return flush_drives(array_.scm_written(), *control_, PersistencePoint::band_table_flush);
}

}  // namespace qlcshape
