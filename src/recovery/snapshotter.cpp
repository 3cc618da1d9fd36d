// SPDX-License-Identifier: Apache-2.0
#include "recovery/snapshotter.h"

#include <algorithm>

#include "base/canary.h"
#include "base/probe.h"

namespace qlcshape {

Snapshotter::Snapshotter(Parts parts, IoQueue& queue, Counters& counters)
    : parts_(std::move(parts)),
      queue_(queue),
      counters_(counters),
      record_(parts_.array.layout.snapshot_bytes),
      others_(DrivesNow::kMost),
      sweeps_(parts_.shards.size()) {
    snapshot_.epoch = parts_.array.epoch;
    snapshot_.generation = parts_.generation;
    ios_.reserve(DrivesNow::kMost);
    snapshot_.open.reserve(parts_.array.layout.snapshot_bands());
}

bool Snapshotter::poll() {
    if (pending_ != 0) return false;
    switch (step_) {
        case Step::idle:
            if (!wanted()) return false;
            begin();
            return true;
        case Step::sweeping:
            // Nothing of it is on media yet, so it is just not taken.
            if (closing_ || parts_.gate.failed()) {
                step_ = Step::idle;
                return true;
            }
            if (!swept() && !canary(Canary::snapshot_too_new)) return false;
            parts_.bits.begin();
            if (canary(Canary::snapshot_unflushed))
                write();
            else
                flush_table();
            return true;
        case Step::flushing_table:
            others_.begin();
            for (Device* scm : parts_.array.scm_written()) others_.add(scm->flushes());
            step_ = Step::others_flushing;
            return true;
        case Step::others_flushing:
            if (!others_.ended()) return false;
            io_failed_ |= flush_failed();
            if (io_failed_)
                give_up();
            else if (parts_.bits.taken())
                write_bits();
            else
                write();
            return true;
        case Step::writing_bits:
            if (canary(Canary::bits_before_pages))
                step_ = Step::flushing_bits;
            else
                flush(Step::flushing_bits);
            return true;
        case Step::flushing_bits:
            if (io_failed_)
                give_up();
            else if (parts_.bits.wrote())
                write_bits();
            else
                flush_table();
            return true;
        case Step::writing:
            flush(Step::flushing);
            return true;
        case Step::flushing:
            end();
            return true;
    }
    return false;
}

bool Snapshotter::table_damaged() const {
    return std::ranges::any_of(parts_.shards, [](const Shard* s) { return s->table_damaged(); });
}

// While patches are left the table lacks what recovery found, and a snapshot would promise it.
// Damage is reported even then, and while closing; once.
bool Snapshotter::wanted() const {
    if (table_damaged()) return !told_damage_;
    if (closing_ || parts_.gate.failed()) return false;
    const auto patched = [](const Shard* s) { return s->patched(); };
    if (!std::ranges::all_of(parts_.shards, patched)) return false;
    return asked_.load(std::memory_order_relaxed) ||
           parts_.bands.placed() - placed_before_ >= parts_.interval;
}

void Snapshotter::begin() {
    io_failed_ = false;
    asked_ = false;
    placed_before_ = parts_.bands.placed();
    // In this order: what is published now is in the shards' pages before they begin to sweep, and
    // has a version below the one that is given out next. Recovery relies on both: it passes over
    // segments below `published`, and lets a version of next_version or above win without a look
    // at what the entry leads to.
    parts_.bands.published_now(snapshot_);
    snapshot_.next_version = parts_.next_version.load();
    snapshot_.used_blocks = parts_.used_before;
    for (const Shard* s : parts_.shards) snapshot_.used_blocks += s->blocks_used_now();
    if (table_damaged()) {
        // The next open must not build on this table, also if this process ends abruptly.
        snapshot_.table_damaged = told_damage_ = true;
        write();
        return;
    }
    for (std::size_t i = 0; i < sweeps_.size(); ++i) sweeps_[i] = parts_.shards[i]->ask_sweep();
    parts_.keeper.refresh();
    step_ = Step::sweeping;
}

bool Snapshotter::swept() const {
    for (std::size_t i = 0; i < sweeps_.size(); ++i) {
        if (parts_.shards[i]->sweeps_done() < sweeps_[i]) return false;
    }
    return true;
}

// A page that another thread's flush dropped is on one drive less than it should be, or on none.
bool Snapshotter::flush_failed() const {
    return std::ranges::any_of(parts_.array.scm_in(),
                               [](Device* scm) { return scm->flushes().failed() != 0; });
}

// Bits are taken before the flush: they are of pages whose writes have ended by then. After the
// last of them nothing is left to be flushed.
void Snapshotter::flush_table() {
    const bool more = parts_.bits.taken();
    if (!canary(Canary::bits_after_snapshot) && !parts_.bits.take() && more) return write();
    if (canary(Canary::bits_before_pages) && parts_.bits.taken()) return write_bits();
    flush(Step::flushing_table);
}

void Snapshotter::write_bits() {
    step_ = Step::writing_bits;
    counters_.add(Counter::band_table_written_bytes, parts_.bits.written_bytes());
    submit(parts_.bits.write(PersistencePoint::snapshot_bits_write));
}

void Snapshotter::give_up() {
    parts_.bits.give_up();
    end();
}

void Snapshotter::write() {
    ++snapshot_.generation;
    counters_.add(Counter::band_table_written_bytes, record_.size());
    snapshot_.counters = parts_.lifetime();
    encode_snapshot(snapshot_, parts_.array.layout, parts_.array.array, record_.span());
    QS_PROBE(snapshot, snapshot_.generation);
    step_ = Step::writing;
    ios_.clear();
    for (Device* scm : parts_.array.scm_written()) {
        Io& io = ios_.emplace_back();
        io.kind = IoKind::write;
        io.point = PersistencePoint::snapshot_write;
        io.device = scm;
        io.offset = parts_.array.layout.snapshot_place(snapshot_.generation);
        io.bytes = record_.size();
        io.data = record_.data();
    }
    submit(ios_);
}

void Snapshotter::flush(Step step) {
    step_ = step;
    ios_.clear();
    for (Device* scm : parts_.array.scm_written()) {
        if (!scm->geometry().volatile_cache) continue;
        Io& io = ios_.emplace_back();
        io.kind = IoKind::flush;
        io.point = step == Step::flushing_table  ? PersistencePoint::snapshot_table_flush
                   : step == Step::flushing_bits ? PersistencePoint::snapshot_bits_flush
                                                 : PersistencePoint::snapshot_flush;
        io.device = scm;
    }
    submit(ios_);
}

void Snapshotter::submit(std::span<Io> ios) {
    pending_ = static_cast<std::uint32_t>(ios.size());
    for (Io& io : ios) {
        io.context = this;
        io.done = [](Io& done) {
            auto& self = *static_cast<Snapshotter*>(done.context);
            --self.pending_;
            self.io_failed_ |= done.error_number != 0;
        };
        queue_.submit(io);
    }
}

// One that could not be written is no snapshot: the one before stays in force. A scm drive that
// fails is for the TPS and the table to deal with.
void Snapshotter::end() {
    if (io_failed_) {
        counters_.add(Counter::io_errors, 1);
        given_up_.fetch_add(1, std::memory_order_relaxed);
        // The place of the one before is not written to until a newer one stands.
        if (step_ == Step::flushing) --snapshot_.generation;
    } else {
        taken_.fetch_add(1, std::memory_order_relaxed);
    }
    // Also where only reads met the damage: closed cleanly, the array would open on the same table
    // again and again, for only a recovery looks at snapshots.
    if (told_damage_) parts_.gate.fail_for_table();
    step_ = Step::idle;
}

}  // namespace qlcshape
