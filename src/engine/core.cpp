// SPDX-License-Identifier: Apache-2.0
#include "engine/core.h"

#include <algorithm>

#include "base/assert.h"
#include "base/size_text.h"
#include "engine/ending.h"
#include "engine/limits.h"
#include "engine/monitor.h"
#include "meta/snapshot_store.h"
#include "placement/failures.h"

namespace qlcshape {
Core::~Core() = default;

// A request that is taken is counted until its end (RequestTable::answer()).
Status Core::submit(VolumeState& volume, Request request) {
    in_flight_.fetch_add(1);
    Status taken = in_words(Errc::io_error, [&] { return take(volume, std::move(request)); });
    if (!taken) in_flight_.fetch_sub(1);
    return taken;
}

Status Core::take(VolumeState& volume, Request request) {
    if (stopped_) return fail(Errc::closed, "volume {}: the engine is closing", volume.name);
    if (halted()) {
        return fail(Errc::io_error, "volume {}: the array stopped {}; {}", volume.name, cause(),
                    remedy());
    }
    const bool changes =
        request.op != Op::read && request.op != Op::flush && request.op != Op::mapped;
    if (read_only_ && changes) return fail_read_only(volume.name);
    return requests_->begin(volume, std::move(request));
}

bool Core::read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes, void* data,
                       IoQueue& queue, DirectRead& direct) {
    in_flight_.fetch_add(1);
    const bool done = !stopped_ && !halted() &&
                      requests_->read_inline(volume, offset, bytes, data, queue, direct);
    in_flight_.fetch_sub(1);
    return done;
}

bool Core::read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes, void* data) {
    in_flight_.fetch_add(1);
    bool done = false;
    if (DirectReaders::Reader* const reader = stopped_ || halted() ? nullptr : readers_.take()) {
        done = requests_->read_inline(volume, offset, bytes, data, reader->queue, reader->direct);
        readers_.give_back(reader);
    }
    in_flight_.fetch_sub(1);
    return done;
}

// Any thread. A failure is never taken back: only a new opening is sure of what is on the drives.
bool Core::failed() const {
    return halted() ||
           std::any_of(workers_.begin(), workers_.end(), [](const auto& w) { return w->failed(); });
}

std::string Core::cause() const {
    if (halted()) return halted_why_;
    return ending(*gate_, array_);
}

std::string Core::remedy() const { return qlcshape::remedy(*gate_, array_, Then::close_and_open); }

// stopped_ first: requests that come later are refused, so the number in flight can reach 0. The
// phase may become `halted` at any time, by another thread: it is never moved on from that.
bool Core::advance_close() {
    stopped_ = true;
    const Phase now = phase();
    const bool none_waits = requests_in_flight() == 0;
    const bool reached = now == Phase::running ? none_waits : all_reached(now);
    if (!reached) return false;
    if (now == Phase::halted) return none_waits;
    if (now == Phase::flushing) return true;
    int before = static_cast<int>(now);
    if (phase_.compare_exchange_strong(before, before + 1)) wake_workers();
    return false;
}

Status Core::start_scrub(std::uint64_t bytes_per_second) {
    if (read_only_) {
        return fail(Errc::read_only,
                    "array {}: it is open read-only, and what the scrub finds could not be mended; "
                    "open it for writing, or close it and run `qlcshape check`",
                    superblock_.name);
    }
    QS_TRY(refuse_if_stopped());
    scrub_pace_->start(bytes_per_second, environment_.clock.now_ns());
    return {};
}

Status Core::stop_scrub() {
    if (scrub_pace_ && scrub_pace_->stop(environment_.clock.now_ns())) return {};
    return fail(Errc::not_found, "array {}: no pass of the scrub that was asked for is under way",
                superblock_.name);
}

void Core::pace_scrub() {
    if (scrub_pace_) scrub_pace_->tick(environment_.clock.now_ns());
}

void Core::wake_workers() {
    for (auto& w : workers_) w->wake();
}

// No worker runs any more. Bitmap and band table before the superblock that says `clean`: from that
// one on an opening believes both, without a look at the bands.
Status Core::finish_close() {
    if (read_only_ && !halted()) return {};
    if (failed()) {
        return fail(Errc::io_error,
                    "array {}: it could not be closed cleanly {}; everything acknowledged is safe; "
                    "{}",
                    superblock_.name, cause(), qlcshape::remedy(*gate_, array_, Then::open));
    }
    const Locked lock(control_mutex_);
    QS_TRY(write_last_tables());
    superblock_.state = ArrayState::clean;
    superblock_.next_version = next_version_;
    superblock_.next_band_sequence = bands_->next_sequence();
    superblock_.counters = lifetime();
    return write_superblock();
}

void Core::release() {
    QS_ASSERT(stopped_);  // callers that still come count themselves in flight, and are refused
    QS_ASSERT(!halted());
    readers_.clear();
    const Locked lock(control_mutex_);
    deleted_.clear();
    {
        const Locked shown(shown_mutex_);
        volumes_.clear();
        former_.clear();
    }
    requests_.reset();
    scrub_pace_.reset();
    healer_ = nullptr;
    scrubber_ = nullptr;
    workers_.clear();
    shards_.clear();
    collectors_.clear();
    keeper_ = nullptr;
    snapshotter_ = nullptr;
    gate_.reset();
    bands_.reset();
    bitmap_writer_.reset();
    bitmap_.reset();
    recovered_ = {};
    members_.clear();
    control_.reset();
}

std::uint64_t Core::total(Counter counter) const {
    std::uint64_t sum = superblock_.counters[static_cast<std::size_t>(counter)];
    if (counter == Counter::open_milliseconds && !read_only_) {
        sum += environment_.clock.elapsed_ns(opened_ns_) / 1'000'000;
    }
    sum += requests_->counted_here(counter);
    for (const auto& w : workers_) sum += w->counters().get(counter);
    for (const Shard* shard : shards_) sum += shard->counters().get(counter);
    return sum;
}

LifetimeCounters Core::lifetime() const {
    LifetimeCounters totals = superblock_.counters;
    for (std::size_t i = 0; i < static_cast<std::size_t>(Counter::count); ++i)
        totals[i] = total(static_cast<Counter>(i));
    return totals;
}

}  // namespace qlcshape
