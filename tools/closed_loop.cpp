// SPDX-License-Identifier: Apache-2.0
#include "tools/closed_loop.h"

#include <thread>
#include <utility>

#include "base/assert.h"
#include "base/pause.h"

namespace qlcshape::tools {

namespace {

constexpr int kSpins = 200;  // a few microseconds: less than a sleep and a wake-up cost
constexpr std::chrono::milliseconds kTick{50};

}  // namespace

ClosedLoop::ClosedLoop(const Volume& volume, std::uint32_t depth, std::uint64_t buffer_bytes)
    : volume_(volume), slots_(depth) {
    const std::uint64_t each = round_up(buffer_bytes, kBlockBytes);
    memory_ = Buffer(depth * each);
    free_.reserve(depth);
    for (std::size_t i = 0; i < depth; ++i) {
        slots_[i].memory = memory_.data() + i * each;
        free_.push_back(&slots_[i]);
    }
}

Status ClosedLoop::run(Source& source) {
    source_ = &source;
    Clock::time_point next_tick = Clock::now() + kTick;
    auto next = Source::Next::request;
    while (next != Source::Next::end || in_flight_ > 0) {
        next = Source::Next::request;
        while (next == Source::Next::request && !free_.empty()) next = submit_one();
        if (in_flight_ > 0) collect(returns_.wait());
        if (const auto now = Clock::now(); now >= next_tick) {
            source.tick();
            next_tick = now + kTick;
        }
    }
    // The last callbacks have handed back their slots, but may not have returned yet.
    while (completed_ != taken_) std::this_thread::yield();
    return std::exchange(result_, {});
}

// On the engine's thread. Adding to completed_ is the last thing that touches the loop.
void ClosedLoop::complete(Slot& slot, Status status) {
    slot.completed = Clock::now();
    slot.status = std::move(status);
    if (slot.status) source_->acknowledged(slot);
    returns_.push(&slot);
    ++completed_;
}

Source::Next ClosedLoop::submit_one() {
    if (!result_) return Source::Next::end;
    Slot& slot = *free_.back();
    const auto next = source_->next(slot);
    QS_ASSERT(next != Source::Next::wait || in_flight_ > 0);
    if (next != Source::Next::request) return next;
    free_.pop_back();
    if (Status taken = submit(slot); !taken) {
        slot.status = std::move(taken);
        slot.next = nullptr;
        ++in_flight_;
        collect(&slot);
    }
    return next;
}

// `busy` is the engine's back-pressure: wait for a completion and try again.
Status ClosedLoop::submit(Slot& slot) {
    for (;;) {
        slot.submitted = Clock::now();
        const auto done = [this, &slot](Status status) { complete(slot, std::move(status)); };
        const Status taken = volume_.submit({slot.op, slot.offset, slot.bytes, slot.memory, done});
        if (taken) {
            ++in_flight_;
            ++taken_;
        }
        if (taken || taken.error().code != Errc::busy) return taken;
        if (in_flight_ > 0) {
            collect(returns_.wait());
        } else {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    }
}

void ClosedLoop::collect(Slot* list) {
    while (list != nullptr) {
        Slot* slot = std::exchange(list, list->next);
        --in_flight_;
        if (!slot->status && result_) result_ = slot->status;
        source_->finished(*slot);
        free_.push_back(slot);
    }
}

// The two sides meet in head_ and sleeping_, both in the one total order of sequentially consistent
// operations: either the sleeper sees the slot or the pusher sees the sleeper.
void ClosedLoop::Returns::push(Slot* slot) {
    slot->next = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(slot->next, slot)) {
    }
    if (!sleeping_.load()) return;
    const std::lock_guard lock(mutex_);
    if (sleeping_.exchange(false)) wake_.notify_one();
}

Slot* ClosedLoop::Returns::wait() {
    for (int i = 0; i < kSpins; ++i) {
        if (Slot* list = take(); list != nullptr) return list;
        spin_pause();
    }
    std::unique_lock lock(mutex_);
    for (;;) {
        sleeping_ = true;
        if (Slot* list = take(); list != nullptr) {
            sleeping_ = false;
            return list;
        }
        wake_.wait(lock, [this] { return !sleeping_; });
    }
}

}  // namespace qlcshape::tools
