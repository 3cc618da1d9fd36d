// SPDX-License-Identifier: Apache-2.0
#include "upkeep/healer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "base/canary.h"
#include "device/remedy.h"
#include "segment/damage_check.h"

namespace qlcshape {

namespace {

constexpr std::uint64_t kRebuiltBytes = 128 * KiB;

}  // namespace

Healer::Healer(const ArrayContext& array, BandTable& bands, const SpaceGate& gate,
               BandKeeper& keeper, IoQueue& queue, Counters& counters)
    : array_(array),
      bands_(bands),
      gate_(gate),
      keeper_(keeper),
      queue_(queue),
      counters_(counters),
      width_(array.layout.width()),
      piece_bytes_(std::min(std::max(kRebuiltBytes, std::bit_ceil(array.layout.header_bytes())),
                            std::uint64_t{array.layout.p.strip_bytes})),
      rows_(width_ * piece_bytes_),
      strips_(2 * std::uint64_t{array.layout.p.strip_bytes}),
      header_(array.layout.header_bytes()),
      ios_(width_),
      left_(array.layout.bands) {
    narrow_open_.reserve(array.layout.snapshot_bands());
}

std::uint64_t Healer::memory_bytes() const {
    return rows_.size() + strips_.size() + header_.size();
}

bool Healer::poll() {
    if (pending_ != 0) return false;
    switch (step_) {
        case Step::idle:
            return look();
        case Step::erasing:
            any_failed_ ? refused() : begin_segment();
            return true;
        case Step::reading:
            piece_read();
            return true;
        case Step::writing:
            strips_written();
            return true;
        case Step::flushing:
            wait_for_others();
            return true;
        case Step::others:
            if (!others_.ended()) return false;
            flushed();
            return true;
        case Step::recording:
            if (const auto counts = keeper_.recorded()) {
                recorded(*counts);
                return true;
            }
            return false;
    }
    return false;
}

// One that is not readable is free, or nothing of it will be left soon.
void Healer::begin_band(BandId band, bool rebuild) {
    const BandTable::Life life = bands_.hold(band);
    skipped_ |= life.moving || life.damaged;
    if (!life.readable) return end_band();
    holds_ = true;
    columns_.band = band;
    columns_.sequence = life.sequence;
    segments_ = life.segments;
    segment_ = 0;
    avoided_.reset();
    choose_places();
    const bool move = columns_.count != 0 && !life.stays && hardly_valid(life);
    if (move) leave_to_collectors();
    const bool begins = columns_.count != 0 && !move && !life.damaged && rebuild;
    if (!begins || !choose_sources()) return end_band();
    ++attempts_;
    rebuilds_.store(band.value, std::memory_order_relaxed);
    erase();
}

// The drives of which a column of the band is to move.
DriveSet Healer::to_leave(BandId band) const {
    DriveSet leave = array_.drives_draining();
    if (look_ != Look::even) return leave;
    if (const auto full = array_.columns->too_full(band, array_.drives_in())) leave.set(*full);
    return leave;
}

// What it lacks comes before what moves.
void Healer::choose_places() {
    const BandId band = columns_.band;
    const DriveSet leave = to_leave(band);
    give_places_back();
    DriveSet others;
    for (const bool moves : {false, true}) {
        for (std::uint32_t c = 0; c < width_ && columns_.count < columns_.all.size(); ++c) {
            const Column now = array_.columns->of(band, c);
            if (now.there() != moves || (moves && !leave[now.member])) continue;
            const auto at = array_.columns->reserve(band, array_.drives_in(), others, leave);
            if (!at) return;
            others.set(at->member);
            Device* const drive = array_.qlc[at->member];
            failed_flushes_[columns_.count] = drive->flushes().failed();
            columns_.all[columns_.count++] = {c, *at, drive};
        }
    }
}

// What is in them counts nowhere.
void Healer::give_places_back() {
    for (const NewColumns::One& one : columns_.columns()) array_.columns->give_back(one.at);
    columns_.count = 0;
}

// Moving it writes its valid blocks, with P and Q; the columns are as long as the band.
bool Healer::hardly_valid(const BandTable::Life& life) const {
    const ArrayLayout& l = array_.layout;
    const std::uint64_t column = std::uint64_t{life.segments} * l.p.strip_bytes / kBlockBytes;
    return std::uint64_t{life.valid} * width_ <= columns_.count * column * l.p.data_strips;
}

void Healer::erase() {
    step_ = Step::erasing;
    if (!canary(Canary::rebuilt_over_remains)) {
        for (const NewColumns::One& one : columns_.columns()) {
            Io& io = next_io(IoKind::discard, PersistencePoint::rebuild_discard, one);
            io.offset = array_.layout.slot_offset(one.at.slot);
            io.bytes = array_.layout.p.band_bytes;
        }
    }
    submit();
}

void Healer::begin_segment() {
    end_hold();
    if (segment_ == segments_) return flush();
    if (closing_ || gate_.failed()) return end_band();
    const BandTable::Life life = bands_.hold(columns_.band);
    holds_ = life.readable;
    if (!life.readable || life.sequence != columns_.sequence) return end_band();
    if (array_.drive_leaves() || !columns_.drives_stay(array_)) return try_again();
    if (!choose_sources()) return end_band();
    again_ = false;
    offset_ = 0;
    read_piece();
}

// The first k roles that a drive has; the other two are computed, whether a column needs them or
// not. What moves is read, or computed as well.
bool Healer::choose_sources() {
    const ArrayLayout& l = array_.layout;
    const BandId band = columns_.band;
    const std::uint64_t stripe = l.stripe_number(band, segment_);
    const std::uint32_t rotation = array_.columns->rotation(band);
    std::uint32_t sources = 0, lost = 0;
    for (std::uint32_t role = 0; role < width_; ++role) {
        const std::uint32_t column = column_of(stripe, role, rotation);
        strip_of_[role] = nullptr;
        for (std::uint32_t i = 0; i < columns_.count; ++i) {
            if (columns_.all[i].column == column)
                strip_of_[role] = strips_.data() + i * std::uint64_t{l.p.strip_bytes};
        }
        const Location place = array_.locate(band, segment_, role);
        const bool there = array_.drive_at(place) != nullptr && !avoided_[place.drive];
        if (there && sources < l.p.data_strips) {
            ++sources;
            continue;
        }
        if (lost == 2) return false;
        lost_[lost++] = role;
    }
    return true;
}

std::byte* Healer::piece_of(std::uint32_t role) const {
    return strip_of_[role] != nullptr ? strip_of_[role] + offset_
                                      : rows_.data() + role * piece_bytes_;
}

void Healer::read_piece() {
    const std::uint64_t strip_bytes = array_.layout.p.strip_bytes;
    step_ = Step::reading;
    bytes_ = std::min(piece_bytes_, strip_bytes - offset_);
    bool away = false;
    for (std::uint32_t role = 0; role < width_; ++role) {
        if (is_lost(role)) continue;
        Io& io = ios_[used_ios_++];
        io = array_.segment_io(IoKind::read, columns_.band, segment_, role * strip_bytes + offset_,
                               bytes_, piece_of(role));
        away |= io.device == nullptr;
    }
    if (away) {
        used_ios_ = 0;
        return try_again();
    }
    submit();
    counters_.add(Counter::rebuild_read_bytes, pending_ * bytes_);
}

void Healer::piece_read() {
    if (any_failed_) return not_read();
    std::byte* pieces[kMaxDataStrips + 2];
    for (std::uint32_t role = 0; role < width_; ++role) pieces[role] = piece_of(role);
    reconstruct({pieces, width_}, bytes_, lost_);
    if (!proved()) return not_read();
    offset_ += bytes_;
    if (offset_ < array_.layout.p.strip_bytes)
        read_piece();
    else
        write_strips();
}

// With the header and all data right P and Q are, since they follow from those.
bool Healer::proved() {
    if (offset_ == 0) {
        std::memcpy(header_.data(), piece_of(0), header_.size());
        header_good_ = header().valid(array_.array, columns_.band, segment_) &&
                       header().fixed().band_sequence == columns_.sequence;
    }
    if (!header_good_) return false;
    for (std::uint32_t role = 0; role < array_.layout.p.data_strips; ++role) {
        if (!header().blocks_fit(role, offset_, {piece_of(role), bytes_})) return false;
    }
    return true;
}

// Or not what was written. Where a drive can't be read the band does without it, if it can: whether
// that is damage is the scrub's business. Otherwise it is read once more, since a drive may err for
// a moment; but one that goes is no damage.
void Healer::not_read() {
    DriveSet failed;
    for (const Io& io : std::span(ios_).first(array_.layout.p.data_strips)) {
        if (io.error_number == 0) continue;
        if (io.device->out() || io.device->given_up() || refused_by_system(io.error_number))
            return try_again();
        for (std::size_t d = 0; d < array_.qlc.size(); ++d)
            failed[d] = failed[d] || array_.qlc[d] == io.device;
    }
    const DriveSet before = std::exchange(avoided_, avoided_ | failed);
    if (failed.none() || !choose_sources()) {
        if (std::exchange(again_, true)) {
            note_damage();
            return end_band();
        }
        avoided_ = before;
        if (!choose_sources()) return end_band();
    }
    offset_ = 0;
    read_piece();
}

// GC rebuilds what is in it block by block, which finds out more. Not of more bands than reads may
// have moved at once: the next round comes to the others.
void Healer::note_damage() {
    skipped_ = true;
    if (bands_.damaged() >= DamageCheck::kBandsAtOnce) return;
    if (!any_failed_) count_wrong();
    bands_.mark_damaged(columns_.band, columns_.sequence, false);
}

// Without a header nothing is known but that its own drive did not return it.
void Healer::count_wrong() {
    const std::uint32_t roles = header_good_ ? array_.layout.p.data_strips : 1;
    for (std::uint32_t role = 0; role < roles; ++role) {
        const Location place = array_.locate(columns_.band, segment_, role);
        Device* const drive = array_.drive_at(place);
        const bool fits =
            header_good_ && header().blocks_fit(role, offset_, {piece_of(role), bytes_});
        if (!is_lost(role) && drive != nullptr && !fits) drive->count_mismatch(place.offset, 1);
    }
}

void Healer::write_strips() {
    const std::uint64_t strip_bytes = array_.layout.p.strip_bytes;
    step_ = Step::writing;
    for (std::uint32_t i = 0; i < columns_.count; ++i) {
        const NewColumns::One& one = columns_.all[i];
        Io& io = next_io(IoKind::write, PersistencePoint::rebuild_write, one);
        io.offset = array_.layout.slot_offset(one.at.slot) + segment_ * strip_bytes;
        io.bytes = strip_bytes;
        io.data = strips_.data() + i * strip_bytes;
    }
    submit();
    counters_.add(Counter::rebuild_written_bytes, pending_ * strip_bytes);
}

void Healer::strips_written() {
    if (any_failed_) return refused();
    ++segment_;
    begin_segment();
}

void Healer::flush() {
    if (canary(Canary::rebuilt_unflushed)) return record();
    step_ = Step::flushing;
    for (const NewColumns::One& one : columns_.columns()) {
        if (one.drive->geometry().volatile_cache)
            next_io(IoKind::flush, PersistencePoint::rebuild_flush, one);
    }
    submit();
}

void Healer::wait_for_others() {
    if (any_failed_) return refused();
    step_ = Step::others;
    others_.begin();
    for (const NewColumns::One& one : columns_.columns()) others_.add(one.drive->flushes());
}

void Healer::flushed() {
    for (std::uint32_t i = 0; i < columns_.count; ++i) {
        if (columns_.all[i].drive->flushes().failed() != failed_flushes_[i]) return try_again();
    }
    record();
}

void Healer::record() {
    step_ = Step::recording;
    keeper_.record_columns(columns_);
}

void Healer::recorded(bool counts) {
    if (!counts) return try_again();
    counters_.add(Counter::rebuild_bands, 1);
    any_rebuilt_ = true;
    any_evened_ |= look_ == Look::even;
    columns_.count = 0;  // they are the band's now
    end_band();
}

// With the drives as they are then. One that does not come to its end is moved, as one in which
// something can't be read.
void Healer::try_again() {
    end_hold();
    step_ = Step::idle;
    if (attempts_ < kAttempts && refusals_ < kRefusals) return;
    if (look_ != Look::even) leave_to_collectors();
    end_band();
}

// What the system refuses, as on a full file system, says nothing about the drive, and would be
// refused to others, too: then the rebuild rests for a while.
void Healer::refused() {
    if (system_refused_) {
        refused_at_ = bands_.changes();
        attempts_ = 1;
    } else {
        ++refusals_;
    }
    try_again();
}

void Healer::leave_to_collectors() {
    skipped_ = true;
    bands_.move_soon(columns_.band, columns_.sequence);
}

void Healer::end_band() {
    end_hold();
    gave_back_ |= attempts_ != 0 && columns_.count != 0;
    give_places_back();
    rebuilds_.store(kNone, std::memory_order_relaxed);
    step_ = Step::idle;
    attempts_ = refusals_ = 0;
}

void Healer::end_hold() {
    if (std::exchange(holds_, false)) bands_.end_read(columns_.band);
}

Io& Healer::next_io(IoKind kind, PersistencePoint point, const NewColumns::One& column) {
    Io& io = ios_[used_ios_++];
    io = Io{};
    io.kind = kind;
    io.point = point;
    io.device = column.drive;
    return io;
}

void Healer::submit() {
    any_failed_ = system_refused_ = false;
    pending_ = std::exchange(used_ios_, 0);
    for (std::uint32_t i = 0, n = pending_; i < n; ++i) {
        ios_[i].context = this;
        ios_[i].done = [](Io& done) { static_cast<Healer*>(done.context)->transfer_ended(done); };
        queue_.submit(ios_[i]);
    }
}

void Healer::transfer_ended(const Io& io) {
    any_failed_ |= io.error_number != 0;
    system_refused_ |= io.error_number != 0 && refused_by_system(io.error_number);
    kept_ |= io.kept;
    ended_.fetch_add(1, std::memory_order_relaxed);
    if (--pending_ != 0 || !std::exchange(kept_, false)) return;
    rows_.renew();  // a drive may still write to them, or read from them
    strips_.renew();
}

}  // namespace qlcshape
