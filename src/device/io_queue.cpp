// SPDX-License-Identifier: Apache-2.0
// The queue of one thread: checks what is submitted, delivers what has finished, sleeps and is
// woken. Only the owner uses it, except for wake_fd_ and sleep_state_, through which others wake
// it.
//
// sleep_state_ decides; the eventfd or the futex only ends a sleep. So a wake() costs a system call
// only when the owner really sleeps, and can't be lost: it either finds one of the two kinds of
// sleep and ends it, or leaves `notified` behind, on which the next wait() returns.
//
// A queue without a ring needs no file descriptor, so making one can't fail.
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <utility>

#include "base/assert.h"
#include "base/kept.h"
#include "base/spare_files.h"
#include "device/device.h"
#include "device/io.h"
#include "device/own_io.h"
#include "device/ring.h"

namespace qlcshape {

namespace {

enum SleepState : std::uint32_t { kAwake, kSleepsOnFutex, kSleepsInRing, kNotified };

void check(const Io& io) {
    const Geometry& geometry = io.device->geometry();
    QS_ASSERT(io.done != nullptr);
    QS_ASSERT(io.kind == IoKind::read || !io.device->read_only());
    if (io.kind == IoKind::flush) {
        QS_ASSERT(io.bytes == 0);
        return;
    }
    QS_ASSERT(io.bytes > 0);
    QS_ASSERT(io.offset % geometry.block_bytes == 0);
    QS_ASSERT(io.bytes % geometry.block_bytes == 0);
    QS_ASSERT(io.offset <= geometry.capacity_bytes);
    QS_ASSERT(io.bytes <= geometry.capacity_bytes - io.offset);
    if (io.kind == IoKind::discard) return;
    std::uint64_t total = 0;
    io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
        QS_ASSERT(data != nullptr);
        QS_ASSERT(reinterpret_cast<std::uintptr_t>(data) % std::max(512u, geometry.block_bytes) ==
                  0);
        QS_ASSERT(bytes % geometry.block_bytes == 0);
        total += bytes;
    });
    QS_ASSERT(total == io.bytes && (io.parts.empty() || io.kind == IoKind::write));
}

using SleepWord = std::atomic<std::uint32_t>;
static_assert(sizeof(SleepWord) == sizeof(std::uint32_t) && SleepWord::is_always_lock_free);

// Until the word is another, or the time has passed; now and then for no reason.
void sleep_on(SleepWord& word, std::uint64_t timeout_us) {
    const timespec timeout{static_cast<time_t>(timeout_us / 1'000'000),
                           static_cast<long>(timeout_us % 1'000'000 * 1'000)};
    ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, kSleepsOnFutex, &timeout, nullptr, 0);
}

void end_sleep_on(SleepWord& word) {
    ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace

IoQueue::IoQueue(std::vector<std::span<std::byte>> memory) : memory_(std::move(memory)) {}

IoQueue::~IoQueue() {
    for (; !not_taken_.empty(); not_taken_.pop_front()) --in_flight_;
    QS_ASSERT(in_flight_ == 0);
    leave_ring();
    if (wake_fd_ >= 0) ::close(wake_fd_);
}

// Nobody will hear of them any more.
void IoQueue::leave_kept() {
    while (kept_.oldest() != nullptr) {
        auto* const own = static_cast<OwnIo*>(kept_.oldest());
        kept_.remove(*own);
        own->leave_for_good();
        keep(std::shared_ptr<const OwnIo>(own));
    }
}

void IoQueue::submit(Io& io) {
    check(io);
    if (ShapeGuard* guard = io.device->guard()) {
        if (io.kind == IoKind::write) guard->on_write(io.offset, io.bytes);
        if (io.kind == IoKind::discard) guard->on_discard(io.offset, io.bytes);
    }
    io.error_number = 0;
    io.next = nullptr;
    if (io.empties_cache()) io.flush_number = io.device->flushes().begin();
    ++in_flight_;
    if (late_ == Late::copied) return submit_copy(io);
    begin(io);
}

void IoQueue::begin(Io& io) {
    io.kept = false;
    if (clock_ != nullptr && begun_.oldest() == nullptr)
        polled_at_.store(clock_->now(), std::memory_order_relaxed);
    begun_.add(io, time_);
    start(io);
}

// It belongs to the queue until it has ended, which may be never.
void IoQueue::submit_copy(Io& io) {
    if (auto copy = OwnIo::copy_of(io)) return begin(*copy.release());
    fail_original(io, ENOMEM);
}

void IoQueue::fail_original(Io& io, int error_number) {
    io.error_number = error_number;
    if (io.empties_cache()) io.device->flushes().end(io.flush_number, !io.device->out());
    if (io.kind != IoKind::read && io.kind != IoKind::discard) last_failed_write_ = io;
    failed_originals_.push_back(io);
}

void IoQueue::start(Io& io) {
    if (io.device->out()) return complete(io, ENODEV);
    if (io.device->given_up()) return complete(io, ETIMEDOUT);
    const Starting mark(*this);
    io.device->start(io, *this);
}

unsigned IoQueue::poll() {
    leave_foreign_ring();
    if (ring_ != nullptr) ring_->reap(*this);
    end_late();
    tell(failed_originals_.take());
    look_at_mirrors();
    // What callbacks make finish at once waits for the next poll: no callback runs inside another.
    Fifo<Io> ready = finished_.take();
    unsigned delivered = 0;
    for (; !ready.empty(); ++delivered) deliver(ready.pop_front());
    return delivered;
}

void IoQueue::deliver(Io& io) {
    --in_flight_;
    if (late_ == Late::kept) return io.done(io);
    const std::unique_ptr<OwnIo> copy(static_cast<OwnIo*>(&io));
    copy->bring_back();
    copy->original->done(*copy->original);
}

void IoQueue::drop() {
    leave_foreign_ring();
    if (ring_ != nullptr) ring_->reap(*this);
    for (Fifo<Io> dropped = finished_.take(); !dropped.empty(); dropped.pop_front()) --in_flight_;
    for (Fifo<Io> dropped = not_taken_.take(); !dropped.empty(); dropped.pop_front()) --in_flight_;
}

bool IoQueue::waits_for_mirror(const Io& io) const {
    return mirrors_ && io.error_number != 0 && io.device->mirror() && !io.device->needed() &&
           (io.kind == IoKind::write || io.kind == IoKind::flush) &&
           !refused_by_system(io.error_number);
}

void IoQueue::look_at_mirrors() {
    for (Fifo<Io> waiting = not_taken_.take(); !waiting.empty();) {
        Io& io = waiting.pop_front();
        Device& drive = *io.device;
        const bool out = drive.out();  // it may go out just now
        if (out) io.error_number = 0;
        if (out || drive.needed()) {
            finished_.push_back(io);
        } else if (drive.leaves()) {
            not_taken_.push_back(io);
        } else {
            io.error_number = 0;
            if (io.empties_cache()) io.flush_number = drive.flushes().begin();
            begin(io);
        }
    }
}

std::optional<Io> IoQueue::held_call() const {
    const bool inside = starting_.load(std::memory_order_relaxed);
    if (clock_ == nullptr || !inside ||
        !clock_->too_long_since(polled_at_.load(std::memory_order_relaxed)))
        return std::nullopt;
    std::optional<Io> oldest = begun_.look();
    if (oldest) oldest->error_number = ETIMEDOUT;
    return oldest;
}

// An owner that did not poll for long, since a request's `done` took its time or it got no
// processor, may not have heard that drives have answered, nor have told them what to do.
void IoQueue::move_time() {
    if (late_ == Late::copied) clock_->look();
    const std::uint64_t now = clock_->now();
    const std::uint64_t passed = now - polled_at_.load(std::memory_order_relaxed);
    time_ += std::min(passed, clock_->limit_ns() / 4);
    polled_at_.store(now, std::memory_order_relaxed);
}

// What takes too long, and what is under way on drives that were given up, here or elsewhere. Where
// there is no memory for that it is tried again with the next poll.
void IoQueue::end_late() {
    const Io* const oldest = begun_.oldest();
    if (oldest == nullptr || clock_ == nullptr) return;
    move_time();
    const auto too_long = [this](const Io& io) { return time_ > io.begun + clock_->limit_ns(); };
    const std::uint64_t given_up = clock_->given_up();
    if (given_up == given_up_seen_ && !too_long(*oldest)) return;
    bool all = true;
    for (Io* io = begun_.oldest(); io != nullptr;) {
        Io* const next = io->newer;
        if (io->device->given_up() || too_long(*io)) all &= end_late(*io);
        io = next;
    }
    if (all) given_up_seen_ = given_up;
}

// Its owner is told; the drive has a transfer that nobody waits for, if it has heard of it.
bool IoQueue::end_late(Io& io) {
    std::unique_ptr<OwnIo> own;
    if (late_ == Late::kept)
        own = OwnIo::heir_of(io);
    else if (static_cast<OwnIo&>(io).leave_to_drive())
        own.reset(static_cast<OwnIo*>(&io));
    if (own == nullptr) return false;
    Io& original = late_ == Late::kept ? io : *own->original;
    if (!io.device->given_up()) {
        original.error_number = ETIMEDOUT;
        io.device->give_up(original);
        clock_->note_given_up();
    }
    ended_.store(ended_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    begun_.remove(io);
    const bool kept = io.device->hand_over(io, *own, *this);
    if (kept) kept_.add(*own.release(), time_);
    if (late_ == Late::kept) {
        io.kept = kept;
        settle(io, ETIMEDOUT);
    } else {
        fail_original(original, ETIMEDOUT);
    }
    return true;
}

void IoQueue::tell(Fifo<Io> originals) {
    while (!originals.empty()) {
        Io& io = originals.pop_front();
        --in_flight_;
        io.done(io);
    }
}

void IoQueue::wait(std::uint64_t timeout_us) {
    leave_foreign_ring();
    if (!finished_.empty() || !failed_originals_.empty()) return;
    if (idle_) return idle_();
    std::uint32_t state = kAwake;
    const bool in_ring = ring_ != nullptr;
    if (sleep_state_.compare_exchange_strong(state, in_ring ? kSleepsInRing : kSleepsOnFutex)) {
        if (in_ring) {
            ring_->wait(*this, timeout_us);
        } else {
            sleep_on(sleep_state_, timeout_us);
        }
    }
    // A wake() that found us asleep may signal only now: the next sleep then ends early, no harm.
    sleep_state_.exchange(kAwake);
}

void IoQueue::wake() {
    const std::uint32_t before = sleep_state_.exchange(kNotified);
    if (before == kSleepsInRing) eventfd_write(wake_fd_, 1);
    if (before == kSleepsOnFutex) end_sleep_on(sleep_state_);
}

void IoQueue::complete(Io& io, int error_number) {
    QS_ASSERT(error_number >= 0);
    if (io.kept) {  // by its drive: whoever asked for it was told long ago
        kept_.remove(io);
        return delete static_cast<OwnIo*>(&io);
    }
    begun_.remove(io);
    ended_.store(ended_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    settle(io, error_number);
}

// It has ended for whoever waits for it, who is told at the next poll.
void IoQueue::settle(Io& io, int error_number) {
    io.error_number = error_number;
    // What a drive that is out drops from its cache is no part of the array.
    const bool counts = !io.device->out();
    if (io.empties_cache()) io.device->flushes().end(io.flush_number, error_number != 0 && counts);
    // One that takes a discard may take nothing else: that is no good sign.
    if (counts && (io.kind != IoKind::discard || error_number != 0)) note_outcome(io);
    if (error_number != 0 && io.kind != IoKind::read && io.device->coming()) {
        io.device->note_missed();
        io.error_number = 0;
    }
    if (!waits_for_mirror(io)) return finished_.push_back(io);
    if (io.empties_cache()) io.device->refuse_writes();
    not_taken_.push_back(io);
}

void IoQueue::note_outcome(const Io& io) {
    const bool counted = !io.device->given_up();
    if (counted && io.error_number == 0) io.device->count_success(io);
    if (io.error_number == 0) return;
    if (counted) io.device->count_failure(io);
    if (io.kind != IoKind::read && !io.device->coming()) last_failed_write_ = io;
}

Ring* IoQueue::ring() {
    leave_foreign_ring();
    if (ring_ == nullptr && !ring_refused_) make_ring();
    return ring_.get();
}

void IoQueue::make_ring() {
    // Before the first sleep in a ring, which tells others that it is there.
    if (wake_fd_ < 0) wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    auto made = wake_fd_ < 0 ? std::unexpected(errno) : Ring::make(Ring::Use::one_thread, wake_fd_);
    ring_refused_ = !made;
    if (made)
        ring_ = std::move(*made);
    else
        slow_.note(SlowIo::no_ring, made.error());
}

bool IoQueue::make_shared_ring() {
    ring_refused_ = true;
    // Others can't do without, as a server's clients.
    if (!can_open_files(2 * spare_files())) return false;
    auto made = Ring::make(Ring::Use::shared, -1);
    if (!made) return false;
    ring_ = std::move(*made);
    ring_refused_ = false;
    return true;
}

void IoQueue::register_memory() {
    if (ring() != nullptr) slow_.note(SlowIo::no_buffers, ring_->register_memory(memory_));
}

// Only the thread that made a ring may enter it. A queue that set-up used in another thread gets a
// ring of its own here.
void IoQueue::leave_foreign_ring() {
    if (ring_ == nullptr || ring_->for_this_thread()) return;
    leave_ring();
}

// What drives keep goes on in the kernel.
void IoQueue::leave_ring() {
    ring_.reset();
    leave_kept();
}

}  // namespace qlcshape
