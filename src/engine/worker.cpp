// SPDX-License-Identifier: Apache-2.0
#include "engine/worker.h"

#include <mutex>
#include <thread>

#include "base/canary.h"

namespace qlcshape {

bool Worker::poll(Phase phase) {
    polls_.store(polls() + 1, std::memory_order_relaxed);
    if (phase == Phase::halted) {
        // Completions are taken, and nobody is told: what they would go on with may belong to
        // requests that have ended with an error.
        queue_->drop();
        failed_.store(true, std::memory_order_relaxed);
        reached_.store(static_cast<int>(phase), std::memory_order_release);
        return false;
    }
    std::unique_lock<std::mutex> lock;
    if (shard_) {
        lock = shard_->lock().for_polling();
        if (!lock) {
            std::this_thread::yield();
            return true;
        }
    }
    if (phase >= Phase::draining) {
        if (shard_) shard_->begin_close();
        if (collector_) collector_->begin_close();
        if (snapshotter_ != nullptr) snapshotter_->begin_close();
    }
    if (phase >= Phase::erasing && keeper_ != nullptr) keeper_->begin_close();
    // Completions first: they are what the actors wait for.
    bool any = queue_->poll() != 0;
    if (shard_) any |= shard_->poll();
    if (collector_) any |= collector_->poll();
    if (keeper_ != nullptr) {
        any |= keeper_->poll();
        any |= snapshotter_->poll();
    }
    if ((shard_ && shard_->failed()) || (collector_ && collector_->failed()) ||
        (keeper_ != nullptr && keeper_->failed())) {
        failed_.store(true, std::memory_order_relaxed);
    }
    // Only after a poll in which nothing happened: one actor's last step may be another's work.
    if (phase != Phase::running && reached() < phase && !any && done_with(phase)) {
        reached_.store(static_cast<int>(phase), std::memory_order_release);
        any = true;
    }
    return any;
}

bool Worker::done_with(Phase phase) {
    switch (phase) {
        case Phase::running:
            return true;
        case Phase::draining:
            return (!shard_ || shard_->drained()) && (!collector_ || collector_->drained());
        case Phase::erasing:
            return keeper_ == nullptr ||
                   (snapshotter_->idle() && (keeper_->failed() || keeper_->idle()));
        case Phase::flushing:
            // The last phase: afterwards memory goes that transfers under way would use.
            return (!shard_ || shard_->failed() || canary(Canary::table_not_flushed) ||
                    shard_->table_flushed()) &&
                   queue_->in_flight() == 0;
        case Phase::halted:
            return true;  // in poll()
    }
    return true;
}

}  // namespace qlcshape
