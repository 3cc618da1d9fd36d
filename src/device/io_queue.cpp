// SPDX-License-Identifier: Apache-2.0
// The queue of one thread: checks what is submitted, delivers what has finished, sleeps and is
// woken. Everything is the owner's alone but wake_fd_ and sleep_state_, through which others wake
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
#include <utility>

#include "base/assert.h"
#include "device/device.h"
#include "device/io.h"
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
    QS_ASSERT(in_flight_ == 0);
    ring_.reset();
    if (wake_fd_ >= 0) ::close(wake_fd_);
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
    io.device->start(io, *this);
}

unsigned IoQueue::poll() {
    leave_foreign_ring();
    if (ring_ != nullptr) ring_->reap(*this);
    // What callbacks make finish at once waits for the next poll: no callback runs inside another.
    Fifo<Io> ready = finished_.take();
    unsigned delivered = 0;
    while (!ready.empty()) {
        Io& io = ready.pop_front();
        --in_flight_;
        ++delivered;
        io.done(io);
    }
    return delivered;
}

void IoQueue::wait(std::uint64_t timeout_us) {
    leave_foreign_ring();
    if (!finished_.empty()) return;
    if (idle_) return idle_();
    std::uint32_t state = kAwake;
    const bool in_ring = ring_ != nullptr;
    if (sleep_state_.compare_exchange_strong(state, in_ring ? kSleepsInRing : kSleepsOnFutex)) {
        if (in_ring) {
            ring_->wait(timeout_us);
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
    io.error_number = error_number;
    if (io.empties_cache()) io.device->flushes().end(io.flush_number, error_number != 0);
    // A drive may not know discards; nothing depends on them.
    if (io.kind != IoKind::discard) note_outcome(io);
    finished_.push_back(io);
}

void IoQueue::note_outcome(const Io& io) {
    if (io.error_number == 0) return io.device->count_success();
    io.device->count_failure(io);
    if (io.kind != IoKind::read) last_failed_write_ = io;
}

Ring* IoQueue::ring() {
    leave_foreign_ring();
    if (ring_ == nullptr && !ring_refused_) make_ring();
    return ring_.get();
}

void IoQueue::make_ring() {
    // Before the first sleep in a ring, which tells others that it is there.
    if (wake_fd_ < 0) wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    auto made = wake_fd_ < 0 ? std::unexpected(errno) : Ring::make(wake_fd_);
    ring_refused_ = !made;
    if (made)
        ring_ = std::move(*made);
    else
        slow_.note(SlowIo::no_ring, made.error());
}

void IoQueue::register_memory() {
    if (ring() != nullptr) slow_.note(SlowIo::no_buffers, ring_->register_memory(memory_));
}

// Only the thread that made a ring may enter it. A queue that set-up used in another thread gets a
// ring of its own here.
void IoQueue::leave_foreign_ring() {
    if (ring_ == nullptr || ring_->made_by_this_thread()) return;
    QS_ASSERT(ring_->idle());
    ring_.reset();
}

}  // namespace qlcshape
