// SPDX-License-Identifier: Apache-2.0
// The load of an opening: reads, writes, trims in several patterns, and volumes that come and go.
#include <fmt/format.h>

#include <algorithm>

#include "sim/sim_history.h"

namespace qlcshape::sim {

namespace {
// What the engine promises (include/qlcshape/volume.h), not what its code happens to say: a write
// of up to 64 KiB that crosses no multiple of 2 MiB is there as a whole or not at all.
constexpr std::uint64_t kAtomicSectors = 64 * KiB / kSectorBytes;
constexpr std::uint64_t kPageSectors = 2 * MiB / kSectorBytes;
}  // namespace

// One volume of most of the space, and sometimes small ones beside it.
bool History::make_first_volumes() {
    const std::uint64_t blocks = core_->layout().writable_blocks;
    const std::uint64_t first = rng_.chance(1, 2) ? blocks : blocks * (6 + rng_.below(4)) / 10;
    const std::string name = fmt::format("v{}", volumes_named_++);
    const Status made = core_->create_volume(name, first * kBlockBytes);
    if (!made) return violate("create_volume: " + made.error().message);
    volumes_.push_back(std::make_unique<SimVolume>(name, first));
    return true;
}

void History::create_volume() {
    const std::uint64_t taken = core_->stats().space.promised_bytes / kBlockBytes;
    const std::uint64_t blocks = core_->layout().writable_blocks;
    if (taken >= blocks || volumes_.size() >= 4) return;
    const std::uint64_t size = 1 + rng_.below(blocks - taken);
    auto v = std::make_unique<SimVolume>(fmt::format("v{}", volumes_named_++), size);
    const Status made = core_->create_volume(v->name, size * kBlockBytes);
    if (!made && !may_stop()) return void(violate("create_volume: " + made.error().message));
    ++result_.volumes_made;
    v->certain = made.has_value();
    if (made) v->state = *core_->volume(v->name);
    volumes_.push_back(std::move(v));
}

void History::delete_volume() {
    if (volumes_.size() < 2) return;
    const std::size_t which = 1 + rng_.below(volumes_.size() - 1);
    if (!volumes_[which]->state) return;
    volumes_[which]->certain = false;
    auto deletion = core_->begin_delete(volumes_[which]->name);
    if (!deletion) {
        volumes_[which]->state = nullptr;
        if (!may_stop()) violate("begin_delete: " + deletion.error().message);
        return;
    }
    // Whatever happens now, it must not come back. Its requests may still be in flight.
    gone_.push_back(std::move(volumes_[which]));
    volumes_.erase(volumes_.begin() + static_cast<std::ptrdiff_t>(which));
    if (rng_.chance(1, 4)) return;  // an engine that is closed or cut before its trim
    const SimVolume& gone = *gone_.back();
    if (!finish_deletion(*deletion)) return;
    ++result_.volumes_deleted;
    for (const SimOp& op : ops_) {
        if (op.busy && op.volume == &gone)
            violate("the space of a deleted volume is back before its requests have ended");
    }
}

bool History::finish_deletion(const Core::Deletion& deletion) {
    return finish_change(std::make_unique<VolumeChange>(*core_, deletion), "a deletion")
        .has_value();
}

// Polls until it is over: an error, once the power is gone. Until then requests use it.
Status History::finish_change(std::unique_ptr<VolumeChange> change, const char* what) {
    changes_.push_back(std::move(change));
    VolumeChange& under_way = *changes_.back();
    for (std::uint64_t i = 0; !under_way.step(); ++i) {
        poll_something();
        if (i <= 20000000) continue;
        violate(fmt::format("{} never ends", what));
        return fail(Errc::io_error, "{} never ends", what);
    }
    const Status& outcome = under_way.outcome();
    if (!outcome && !may_stop()) violate(fmt::format("{}: {}", what, outcome.error().message));
    return outcome;
}

// Larger or smaller, while requests are in flight.
void History::resize_volume() {
    SimVolume& v = *volumes_[rng_.below(volumes_.size())];
    if (!v.state || v.maybe_sectors != 0) return;
    const std::uint64_t taken = core_->stats().space.promised_bytes / kBlockBytes;
    const std::uint64_t blocks = core_->layout().writable_blocks;
    const std::uint64_t before = v.sectors / kSectorsPerBlock;
    const std::uint64_t most = before + blocks - std::min(blocks, taken);
    const std::uint64_t after = rng_.chance(1, 4) ? most : 1 + rng_.below(most);
    v.maybe_sectors = after * kSectorsPerBlock;
    const auto resize = core_->begin_resize(v.name, after * kBlockBytes);
    if (!resize) {
        if (!may_stop()) violate("begin_resize: " + resize.error().message);
        return;
    }
    // What is cut off reads as zeroes once the volume grows again.
    std::uint32_t trim = 0;
    if (after < before)
        trim = v.oracle.begin(0, v.maybe_sectors, v.sectors - v.maybe_sectors, false);
    std::vector<const SimOp*> before_change;
    for (const SimOp& op : ops_) {
        if (op.busy && op.volume == &v) before_change.push_back(&op);
    }
    const Status done = finish_change(std::make_unique<VolumeChange>(*core_, *resize), "a resize");
    if (world_.dead()) return;
    if (std::ranges::any_of(before_change, [](const SimOp* op) { return op->busy; }))
        violate("a volume has its new size before requests to the old one have ended");
    if (after < before) done ? v.oracle.acked(trim) : v.oracle.failed(trim);
    if (!done) {
        v.state = nullptr;
        return;
    }
    ++result_.volumes_resized;
    v.sectors = v.maybe_sectors;
    v.maybe_sectors = 0;
    v.oracle.resize(v.sectors);
}

void History::choose_load() {
    pattern_ = static_cast<Pattern>(rng_.below(static_cast<std::uint64_t>(Pattern::count)));
    trims_ = rng_.chance(1, 2);
    large_ = rng_.chance(1, 3);
    partial_ = rng_.chance(1, 2);
    reads_ = rng_.chance(2, 3);
    volume_changes_ = rng_.chance(1, 3) && !one_volume_;
    cursor_ = 0;
}

void History::load(bool to_be_cut) {
    choose_load();
    for (const Core::Deletion& deletion : core_->unfinished_deletions()) {
        if (!finish_deletion(deletion)) break;
        ++result_.volumes_deleted;
    }
    scrub_in_load();
    if (rng_.chance(1, 30)) return storm();
    const bool first = opened_ == 1;
    const std::uint64_t steps =
        first || rng_.chance(1, 20) ? 4000 + rng_.below(12000) : 200 + rng_.below(2500);
    if (first && rng_.chance(1, 2)) fill();
    if (to_be_cut && rng_.chance(3, 4))
        plan_cut(steps / 3, PersistencePoint::tps_write, PersistencePoint::snapshot_flush);
    const bool older = members_get_older() && images_random_.chance(1, 2);
    const std::uint64_t older_at = older ? images_random_.below(steps) : steps;
    drives_away_ = false;
    const bool away = beyond() && !first && rng_.chance(1, 4);
    const std::uint64_t away_at = away ? rng_.below(steps) : steps;
    const bool silent = world_.faults().drive_faults() && silence_random_.chance(1, 12);
    const std::uint64_t silent_at = silent ? silence_random_.below(steps) : steps;
    for (std::uint64_t i = 0; i < steps && result_.violation.empty() && !world_.dead(); ++i) {
        if (i == older_at) choose_older();
        if (i == away_at) take_drives_away();
        if (i == silent_at) silence_one();
        if (goes_away() && away_random_.chance(1, 2000)) drive_leaves();
        if (goes_away() && away_random_.chance(1, 4000)) scm_leaves();
        if (goes_away() && replace_random_.chance(1, 3000)) begin_replacing();
        if (wide() && replace_random_.chance(1, 1000)) begin_spreading();
        if (wide() && drain_random_.chance(1, 500)) drain_or_remove();
        if (goes_away() && return_random_.chance(1, 500)) begin_returning();
        advance_replacing();
        if (rng_.chance(1, 8)) submit_one();
        if (volume_changes_ && rng_.chance(1, 1000)) {
            const std::uint64_t change = rng_.below(3);
            change == 0 ? create_volume() : change == 1 ? delete_volume() : resize_volume();
        }
        poll_something();
        if (i % 64 == 0 && core_->failed()) break;
    }
    if (world_.dead() || !result_.violation.empty()) return;
    if (!core_->failed()) return drives_away_ ? wait_for_requests() : void();
    if (!may_stop()) return void(violate("the engine failed without a drive failing"));
    ++result_.stops;
    wait_for_requests();
}

// Any drive, but where others may be damaged: then one of those, since it goes out.
void History::silence_one() {
    std::vector<Media*> some = media_;
    if (world_.faults().media_faults())
        std::erase_if(some, [](const Media* m) { return !m->weak; });
    if (some.empty()) return;
    world_.faults().note_may_stop();
    silence(*some[silence_random_.below(some.size())]);
}

void History::silence(Media& media) {
    world_.silence(media);
    given_up_before_ = io_clock_.given_up();
}

// All others answer before the time goes on. Some time after it was given up the drive answers.
void History::drive_is_silent() {
    if (io_clock_.given_up() != given_up_before_) {
        if (silence_random_.chance(1, 50)) world_.answer();
    } else if (silence_random_.chance(1, 60)) {
        while (world_.step()) {
        }
        world_.pass(kIoLimitNs / 4);
        io_clock_.look();
        for (const auto& w : core_->workers()) w->poll(core_->phase());
    }
    if (!silence_random_.chance(1, 16)) return;
    core_->look_at_drives();
    core_->watch();
}

// Nothing waits for ever when the engine stops.
void History::wait_for_requests() {
    for (std::uint64_t i = 0; core_->requests_in_flight() != 0; ++i) {
        poll_something();
        if (i > 5000000) return void(violate("the engine stopped, and a request never ends"));
    }
}

// The whole of the first volume, in order: the array is full.
void History::fill() {
    pattern_ = Pattern::sequential;
    SimVolume& v = *volumes_[0];
    std::uint64_t polls = 0;
    while (cursor_ < v.sectors / kSectorsPerBlock && result_.violation.empty()) {
        if (++polls > 10000000) return void(violate("a write never ends"));
        SimOp& op = ops_[0];
        if (!op.busy) {
            op.volume = &v;
            op.first_sector = cursor_ * kSectorsPerBlock;
            op.sectors = std::min(kLargest / kSectorBytes, v.sectors - op.first_sector);
            cursor_ += op.sectors / kSectorsPerBlock;
            submit(op, Op::write);
        }
        poll_something();
        if (core_->failed()) return;
    }
}

// Fills the ring of one shard: its blocks are trimmed one by one. Each trim is a record and hardly
// any segment is filled, so that the ring goes round before a commit brings back space. Now and
// then a part of a block is written that was just trimmed.
void History::storm() {
    fill();
    cursor_ = 0;
    plan_cut(20000, PersistencePoint::tps_write, PersistencePoint::snapshot_flush);
    const std::uint64_t blocks = volumes_[0]->sectors / kSectorsPerBlock;
    for (std::uint64_t i = 0; i < 60000 && result_.violation.empty() && !world_.dead(); ++i) {
        trim_next(blocks);
        poll_something();
    }
    if (world_.dead() || !core_->failed()) return;
    if (!may_stop()) return void(violate("the engine failed without a drive failing"));
    wait_for_requests();
}

void History::trim_next(std::uint64_t blocks) {
    if (ops_[0].busy || cursor_ >= blocks) return;
    for (SimOp& op : ops_) op.volume = volumes_[0].get();
    ops_[0].first_sector = cursor_ * kSectorsPerBlock;
    ops_[0].sectors = kSectorsPerBlock;
    submit(ops_[0], Op::trim);
    SimOp& last = ops_.back();
    if (!last.busy && rng_.chance(1, 200)) {
        last.first_sector = cursor_ * kSectorsPerBlock + rng_.below(kSectorsPerBlock);
        last.sectors = 1;
        submit(last, Op::write);
    }
    ++cursor_;
    if (cursor_ % kPageEntries == 0) cursor_ += (options_.shards - 1) * kPageEntries;
}

void History::submit_one() {
    SimOp* op = nullptr;
    for (SimOp& o : ops_) {
        if (!o.busy) op = &o;
    }
    if (op == nullptr) return;
    SimVolume& v = *volumes_[rng_.chance(3, 4) ? 0 : rng_.below(volumes_.size())];
    if (!v.state) return;
    op->volume = &v;
    place(*op);
    last_sector_ = op->first_sector + (rng_.chance(1, 2) ? op->sectors : 0);
    const std::uint64_t kind = rng_.below(10);
    if (kind < 2 && reads_) return submit(*op, Op::read);
    if (kind == 2 && rng_.chance(1, 4)) return submit(*op, Op::flush);
    if (kind == 3 && trims_) return submit(*op, rng_.chance(1, 2) ? Op::trim : Op::write_zeroes);
    submit(*op, Op::write);
}

void History::place(SimOp& op) {
    const std::uint64_t blocks = op.volume->sectors / kSectorsPerBlock;
    std::uint64_t count = 1;
    if (large_ && rng_.chance(1, 8))
        count = 1 + rng_.below(kLargest / kBlockBytes);
    else if (rng_.chance(1, 4))
        count = 1 + rng_.below(16);
    count = std::min(count, blocks);
    const std::uint64_t places = blocks - count + 1;
    std::uint64_t first = rng_.below(places);
    switch (pattern_) {
        case Pattern::sequential:
            first = cursor_ % places;
            cursor_ = first + count;
            break;
        case Pattern::skewed:  // like a Zipf distribution: each halving is as likely as the next
            while (first > 1 && rng_.chance(1, 2)) first = rng_.below(first);
            first = first * 2654435761 % places;
            break;
        case Pattern::hot:
            first %= std::min(places, blocks / 64 + 1);
            break;
        case Pattern::random:
        case Pattern::count:
            break;
    }
    op.first_sector = first * kSectorsPerBlock;
    op.sectors = count * kSectorsPerBlock;
    if (partial_ && rng_.chance(1, 4)) {
        place_unaligned(op);
    } else if (partial_ && rng_.chance(1, 3)) {
        op.first_sector += rng_.below(std::min<std::uint64_t>(7, op.sectors - 1) + 1);
        op.sectors = 1 + rng_.below(first * kSectorsPerBlock + op.sectors - op.first_sector);
    }
}

// What must be atomic, at any sector and of any length up to the limit: half of them of 64 KiB,
// most of which touch 17 blocks. Often at an end of the one before, be it a write or a trim.
void History::place_unaligned(SimOp& op) {
    const std::uint64_t all = op.volume->sectors;
    op.sectors = std::min(all, rng_.chance(1, 2) ? kAtomicSectors : 1 + rng_.below(kAtomicSectors));
    if (rng_.chance(1, 2)) op.first_sector = last_sector_;
    if (rng_.chance(1, 3)) op.first_sector -= std::min(op.first_sector, op.sectors);
    op.first_sector = std::min(op.first_sector + rng_.below(kSectorsPerBlock), all - op.sectors);
    const std::uint64_t page_end = op.first_sector / kPageSectors * kPageSectors + kPageSectors;
    if (op.first_sector + op.sectors > page_end && rng_.chance(3, 4))
        op.sectors = page_end - op.first_sector;
}

void History::submit(SimOp& op, Op kind) {
    op.busy = true;
    op.kind = kind;
    op.id = 0;
    op.begun = ++result_.operations;
    op.may_fail = false;
    Oracle& oracle = op.volume->oracle;
    Request request{
        kind, op.first_sector * kSectorBytes, op.sectors * kSectorBytes, op.data.data(), {}};
    const bool atomic =
        op.sectors <= kAtomicSectors &&
        op.first_sector / kPageSectors == (op.first_sector + op.sectors - 1) / kPageSectors;
    const auto lost_edge = [&](std::uint64_t sector) {
        const std::uint64_t first = sector / kSectorsPerBlock * kSectorsPerBlock;
        return sector != first && oracle.may_be_lost(first, kSectorsPerBlock);
    };
    if (kind == Op::write || kind == Op::write_zeroes)
        op.may_fail = lost_edge(op.first_sector) || lost_edge(op.first_sector + op.sectors);
    switch (kind) {
        case Op::read:
            oracle.begin_read();
            break;
        case Op::write:
            op.id = oracle.begin(++stamp_, op.first_sector, op.sectors, atomic);
            for (std::uint64_t s = 0; s < op.sectors; ++s)
                fill_sector(op.data.data() + s * kSectorBytes, stamp_, op.first_sector + s);
            break;
        case Op::write_zeroes:
            op.id = oracle.begin(0, op.first_sector, op.sectors, atomic);
            break;
        case Op::trim: {
            const std::uint64_t from = (op.first_sector + 7) / 8 * 8;
            const std::uint64_t to = (op.first_sector + op.sectors) / 8 * 8;
            if (to > from) op.id = oracle.begin(0, from, to - from, false);
            break;
        }
        case Op::flush:
            request.offset_bytes = request.bytes = 0;
            break;
        case Op::mapped:  // changes nothing, and is not drawn
            break;
    }
    if (kind == Op::read && read_inline(*op.volume, request)) return done(op, {});
    request.done = [this, &op](Status status) { done(op, status); };
    const Status taken = core_->submit(*op.volume->state, std::move(request));
    if (taken) return;
    if (!core_->halted()) return void(violate("submit: " + taken.error().message));
    done(op, taken);
}

// In every other opening a thread that wants a small read makes it; meanwhile all else goes on.
bool History::read_inline(SimVolume& volume, const Request& request) {
    if (!reads_inline() || !core_->read_inline(*volume.state, request.offset_bytes, request.bytes,
                                               request.data, *here_, direct_))
        return false;
    ++result_.reads_inline;
    return true;
}

void History::done(SimOp& op, const Status& status) {
    op.busy = false;
    if (world_.dead()) return;
    Oracle& oracle = op.volume->oracle;
    const bool lost =
        op.may_fail || (op.kind == Op::read && oracle.may_be_lost(op.first_sector, op.sectors));
    if (!status && !may_stop() && !lost)
        return void(violate("an operation failed: " + status.error().message));
    if (op.kind == Op::flush) {
        if (status) check_flush(op);
    } else if (op.kind == Op::read) {
        for (std::uint64_t s = 0; status && s < op.sectors; ++s)
            check_sector(*op.volume, op.first_sector + s, op.data.data() + s * kSectorBytes);
        oracle.end_read();
    } else if (op.id != 0) {
        status ? oracle.acked(op.id) : oracle.failed(op.id);
    }
}

// A flush that is done means that everything before it in its volume is.
void History::check_flush(const SimOp& flush) {
    for (const SimOp& op : ops_) {
        if (op.busy && op.kind != Op::read && op.kind != Op::flush && op.volume == flush.volume &&
            op.begun < flush.begun)
            violate(fmt::format("a flush is done, and a write of {} sectors at {} before it is not",
                                op.sectors, op.first_sector));
    }
}

}  // namespace qlcshape::sim
