// SPDX-License-Identifier: Apache-2.0
#include "band/band_table.h"

#include <algorithm>

#include "base/assert.h"

namespace qlcshape {

BandTable::BandTable(const ArrayLayout& layout) : layout_(layout), bands_(layout.bands) {
    free_list_.reserve(layout.bands);
    moved_list_.reserve(layout.bands);
}

void BandTable::restore(BandId id, const BandRecord& record) {
    const Locked lock(mutex_);
    Band& band = at(id);
    band.state = record.state;
    band.stream = record.stream == 0 ? Stream::user : Stream::gc;
    band.sequence = record.sequence;
    band.epoch = record.epoch;
    band.segments = band.next = record.segments;
    band.frontier = band.submitted = band.published_frontier = record.segments;
    band.valid = record.valid;
    band.tombstones = record.tombstones;
    band.valid_is_estimate = record.valid_is_estimate();
    if (record.state == BandState::free) {
        free_list_.push_back(id);
        free_.fetch_add(1);
    } else if (record.state == BandState::erasing) {
        moved_list_.push_back(id);
    }
}

void BandTable::restore_decided(BandId id, const BandRecord& record, const BandRecord& on_media) {
    restore(id, record);
    const Locked lock(mutex_);
    at(id).decided = true;
    at(id).media_segments = on_media.segments;
}

void BandTable::epoch_begun() {
    const Locked lock(mutex_);
    for (Band& band : bands_) band.decided = false;
}

void BandTable::resume(BandId id) {
    const Locked lock(mutex_);
    Band& band = at(id);
    QS_ASSERT(band.state == BandState::open);
    StreamState& s = stream(band.stream);
    if (full(band)) {
        close_if_done(band);
    } else if (!s.current) {
        s.current = id;
    } else if (!s.next) {
        s.next = id;
    } else {
        band.state =
            BandState::closed;  // more open bands than a stream keeps: GC takes what is in it
    }
    // A band that already holds segments is filled before an empty one.
    if (s.current && s.next && at(*s.current).next == 0) std::swap(s.current, s.next);
}

void BandTable::set_counts(BandId id, std::uint32_t valid, std::uint32_t tombstones,
                           bool valid_is_estimate) {
    const Locked lock(mutex_);
    at(id).valid_is_estimate = valid_is_estimate;
    at(id).valid = valid;
    at(id).tombstones = tombstones;
}

bool BandTable::full(const Band& band) const {
    return band.next == layout_.segments_per_band || band.failed_from.load() != UINT32_MAX;
}

std::optional<Placement> BandTable::place(Stream which) {
    std::optional<Placement> placement;
    bool wanting = false;  // more than before, so the keeper must check
    {
        const Locked lock(mutex_);
        StreamState& s = stream(which);
        const bool wanted = wants_band(s);
        if (s.current && full(at(*s.current))) s.current.reset();
        if (!s.current) std::swap(s.current, s.next);
        s.starved = !s.current;
        if (s.current) {
            Band& band = at(*s.current);
            const std::uint32_t frontier = band.frontier.load(std::memory_order_relaxed);
            // What is published is durable, so this bounds both windows.
            if (band.next - band.published_frontier < kWindow) {
                placement = Placement{*s.current, band.next++, band.sequence, frontier};
                ++band.in_flight;
                placed_.fetch_add(1, std::memory_order_relaxed);
            }
        }
        wanting = !wanted && wants_band(s);
    }
    if (wanting) ring();
    return placement;
}

bool BandTable::my_turn(const Placement& p) const {
    return shared(p.band).submitted.load(std::memory_order_acquire) == p.segment;
}

void BandTable::submitted(const Placement& p) {
    shared(p.band).submitted.store(p.segment + 1, std::memory_order_release);
}

// Records `segment`, and advances the frontier over all that are recorded without a gap.
void BandTable::advance(std::uint64_t& window, std::uint32_t& frontier, std::uint32_t segment) {
    QS_ASSERT(segment >= frontier && segment - frontier < kWindow);
    window |= std::uint64_t{1} << (segment - frontier);
    while ((window & 1) != 0) {
        window >>= 1;
        ++frontier;
    }
}

void BandTable::durable(const Placement& p) {
    const Locked lock(mutex_);
    Band& band = at(p.band);
    std::uint32_t frontier = band.frontier.load(std::memory_order_relaxed);
    advance(band.window, frontier, p.segment);
    const std::uint32_t limit = band.failed_from.load(std::memory_order_relaxed);
    band.frontier.store(std::min(frontier, limit), std::memory_order_release);
}

void BandTable::end_open(const std::function<bool(BandId)>& which) {
    {
        const Locked lock(mutex_);
        for (std::uint32_t i = 0; i < bands_.size(); ++i) {
            Band& band = bands_[i];
            // Nobody knows yet where one lies that is being opened.
            if (band.state != BandState::open || !(band.opening || which(BandId(i)))) continue;
            const std::uint32_t settled = band.frontier.load(std::memory_order_relaxed);
            band.failed_from.store(std::min(band.failed_from.load(), settled),
                                   std::memory_order_release);
            StreamState& s = stream(band.stream);
            if (s.next == BandId(i)) s.next.reset();
            if (s.current == BandId(i)) s.current.reset();
            if (!band.opening) close_if_done(band);
        }
    }
    ring();
}

bool BandTable::settled(const Placement& p) const {
    return p.segment < shared(p.band).frontier.load(std::memory_order_acquire);
}

void BandTable::write_failed(const Placement& p) {
    const Locked lock(mutex_);
    Band& band = at(p.band);
    QS_ASSERT(p.segment >= band.frontier.load());
    band.failed_from.store(std::min(band.failed_from.load(), p.segment), std::memory_order_release);
}

void BandTable::left(const Placement& p) {
    {
        const Locked lock(mutex_);
        Band& band = at(p.band);
        --band.in_flight;
        close_if_done(band);
    }
    ring();  // its stream wants another
}

bool BandTable::void_place(const Placement& p) const {
    return p.segment >= shared(p.band).failed_from.load(std::memory_order_acquire);
}

void BandTable::published(const Placement& p, std::uint32_t tombstone_blocks) {
    {
        const Locked lock(mutex_);
        Band& band = at(p.band);
        --band.in_flight;
        advance(band.published_window, band.published_frontier, p.segment);
        band.tombstones += tombstone_blocks;
        close_if_done(band);
        change();  // older places of its blocks are obsolete now
    }
    ring();
}

void BandTable::close_if_done(Band& band) {
    const std::uint32_t end = std::min(layout_.segments_per_band, band.failed_from.load());
    if (band.state == BandState::open && full(band) && band.in_flight == 0) {
        QS_ASSERT(band.published_frontier == end);
        band.state = BandState::closed;
        band.segments = end;
        change();
    }
}

void BandTable::candidates(const std::function<void(const Candidate&)>& see) const {
    const Locked lock(mutex_);
    for (std::uint32_t i = 0; i < bands_.size(); ++i) {
        const Band& band = bands_[i];
        if (band.state != BandState::closed || band.moving) continue;
        see(Candidate{BandId(i), band.sequence, band.valid.load(std::memory_order_relaxed),
                      band.tombstones, band.valid_is_estimate});
    }
}

bool BandTable::begin_move(BandId id) {
    const Locked lock(mutex_);
    if (at(id).state != BandState::closed || at(id).moving) return false;
    const bool before = waits(at(id));
    at(id).moving = true;
    count_waiting(before, at(id));
    return true;
}

void BandTable::abandon_move(BandId id) {
    const Locked lock(mutex_);
    at(id).moving = false;
    count_waiting(false, at(id));
    change();
}

std::uint32_t BandTable::segments_of(BandId id) const {
    const Locked lock(mutex_);
    return at(id).segments;
}

std::uint64_t BandTable::sequence_of(BandId id) const {
    const Locked lock(mutex_);
    return at(id).sequence;
}

void BandTable::moved(BandId id) {
    {
        const Locked lock(mutex_);
        QS_ASSERT(at(id).moving && !has_readers(id));
        at(id).state = BandState::erasing;
        end_damage(at(id));
        if (std::exchange(at(id).unmended, false))
            unmended_.fetch_sub(1, std::memory_order_relaxed);
        moved_list_.push_back(id);
        change();
    }
    ring();
}

void BandTable::put_out_of_use(BandId id) {
    const Locked lock(mutex_);
    QS_ASSERT(at(id).moving || at(id).state == BandState::erasing);
    end_damage(at(id));
    at(id).out_of_use = true;
    out_of_use_.fetch_add(1, std::memory_order_relaxed);
    ends_.fetch_add(1, std::memory_order_release);
}

void BandTable::not_erased(BandId id) {
    put_out_of_use(id);
    const Locked lock(mutex_);
    at(id).not_erased = true;
}

void BandTable::erase_again() {
    {
        const Locked lock(mutex_);
        for (std::uint32_t i = 0; i < bands_.size(); ++i) {
            if (!std::exchange(bands_[i].not_erased, false)) continue;
            bands_[i].out_of_use = false;
            out_of_use_.fetch_sub(1, std::memory_order_relaxed);
            moved_list_.push_back(BandId(i));
        }
        change();
    }
    ring();
}

bool BandTable::starved(Stream which) const {
    const Locked lock(mutex_);
    return stream(which).starved;
}

bool BandTable::wants_band(Stream which) const {
    const Locked lock(mutex_);
    return wants_band(stream(which));
}

bool BandTable::wants_band(const StreamState& s) const {
    if (s.opening || s.next) return false;
    return !s.current || full(at(*s.current)) ||
           at(*s.current).next + 2 >= layout_.segments_per_band;
}

std::optional<BandId> BandTable::begin_open(Stream which, std::uint64_t epoch) {
    const Locked lock(mutex_);
    if (free_list_.empty()) return std::nullopt;
    // The band that has been free the longest, for even wear.
    auto oldest = std::ranges::min_element(
        free_list_, {}, [this](BandId id) QS_REQUIRES(mutex_) { return at(id).sequence; });
    const BandId id = *oldest;
    *oldest = free_list_.back();
    free_list_.pop_back();
    free_.fetch_sub(1, std::memory_order_release);
    Band& band = at(id);
    band.state = BandState::open;
    band.stream = which;
    band.sequence = next_sequence_++;
    band.epoch = epoch;
    band.next = band.in_flight = band.tombstones = band.segments = 0;
    band.decided = band.valid_is_estimate = false;
    band.window = band.published_window = 0;
    band.frontier = band.submitted = band.published_frontier = 0;
    band.failed_from = UINT32_MAX;
    band.valid = 0;
    band.moving = false;
    band.opening = true;
    stream(which).opening = true;
    change();
    return id;
}

void BandTable::opened(BandId id) {
    {
        const Locked lock(mutex_);
        Band& band = at(id);
        QS_ASSERT(band.opening);
        band.opening = false;
        StreamState& s = stream(band.stream);
        s.opening = s.starved = false;
        QS_ASSERT(!s.next);
        if (full(band))  // ended in the meantime
            close_if_done(band);
        else
            s.next = id;
        change();
    }
    ring();
}

void BandTable::end_opening(BandId id, BandState state) {
    Band& band = at(id);
    QS_ASSERT(band.opening);
    stream(band.stream).opening = band.opening = false;
    band.state = state;
}

void BandTable::not_opened(BandId id) {
    const Locked lock(mutex_);
    end_opening(id, BandState::free);
    free_list_.push_back(id);
    free_.fetch_add(1, std::memory_order_release);
}

void BandTable::not_emptied(BandId id) {
    {
        const Locked lock(mutex_);
        end_opening(id, BandState::erasing);
    }
    not_erased(id);
}

std::optional<BandId> BandTable::next_moved() {
    const Locked lock(mutex_);
    if (moved_list_.empty()) return std::nullopt;
    const BandId id = moved_list_.back();
    moved_list_.pop_back();
    return id;
}

void BandTable::erased(BandId id) {
    const Locked lock(mutex_);
    Band& band = at(id);
    QS_ASSERT(band.state == BandState::erasing);
    band.state = BandState::free;
    band.moving = false;
    band.valid = 0;
    free_list_.push_back(id);
    free_.fetch_add(1, std::memory_order_release);
    change();
}

BandRecord BandTable::record_of(BandId id) const {
    const Locked lock(mutex_);
    const Band& band = at(id);
    BandRecord r;
    r.sequence = band.sequence;
    r.epoch = band.epoch;
    r.state = band.state;
    r.stream = static_cast<std::uint8_t>(band.stream);
    r.segments = band.state == BandState::closed ? band.segments : band.frontier.load();
    r.valid = band.valid.load();
    r.tombstones = band.tombstones;
    r.flags = band.valid_is_estimate ? BandRecord::kValidIsEstimate : 0;
    return r;
}

BandRecord BandTable::media_record_of(BandId id) const {
    BandRecord r = record_of(id);
    const Locked lock(mutex_);
    const Band& band = at(id);
    if (band.decided) {
        r.state = BandState::open;
        r.segments = band.media_segments;
    }
    return r;
}

void BandTable::published_now(Snapshot& snapshot) const {
    const Locked lock(mutex_);
    snapshot.next_band_sequence = next_sequence_;
    snapshot.open.clear();
    for (std::uint32_t i = 0; i < bands_.size(); ++i) {
        const Band& band = bands_[i];
        if (band.state == BandState::open)
            snapshot.open.push_back({i, band.published_frontier, band.sequence});
    }
}

void BandTable::drive_came() {
    drives_came_.fetch_add(1, std::memory_order_release);
    change();
    ring();
}

bool BandTable::is_open(BandId band) const {
    const Locked lock(mutex_);
    return at(band).state == BandState::open;
}

void BandTable::in_use(const std::function<void(BandId, bool stays)>& see) const {
    const Locked lock(mutex_);
    for (std::uint32_t i = 0; i < bands_.size(); ++i) {
        const Band& band = bands_[i];
        const bool used = band.state == BandState::open || band.state == BandState::closed;
        const bool grows = band.state == BandState::open && !full(band);
        if (used && !band.opening) see(BandId(i), grows || band.out_of_use || band.unmended);
    }
}

BandCounts BandTable::counts() const {
    const Locked lock(mutex_);
    BandCounts c;
    for (const Band& band : bands_) {
        if (band.state == BandState::free)
            ++c.free;
        else if (band.state == BandState::open)
            ++c.open;
        else
            ++c.closed;
    }
    return c;
}

Placement BandTable::user_frontier() const {
    const Locked lock(mutex_);
    const auto& current = stream(Stream::user).current;
    if (!current) return {};
    const Band& band = at(*current);
    return {*current, 0, band.sequence, band.frontier.load()};
}

}  // namespace qlcshape
