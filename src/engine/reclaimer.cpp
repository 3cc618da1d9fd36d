// SPDX-License-Identifier: Apache-2.0
#include "engine/reclaimer.h"

#include <pthread.h>

#include <chrono>

#include "engine/limits.h"
#include "engine/monitor.h"
#include "engine/volume_change.h"

namespace qlcshape {

Reclaimer::Reclaimer(const Options& options, Core& core, WaitingThreads& threads)
    : options_(options), core_(core), thread_(threads.run([this] { run(); })) {
    pthread_setname_np(thread_.native_handle(), "qs-reclaim");
}

Reclaimer::~Reclaimer() {
    stop();
    if (thread_.joinable()) thread_.join();
}

void Reclaimer::stop() {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
}

void Reclaimer::add(Core::Deletion deletion) {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(deletion));
    changed_.notify_all();
}

Status Reclaimer::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stop_ || waiting_.empty() || !outcome_; });
    return outcome_;
}

// The front of the list stays there until its space is free, so that wait() waits for it. After an
// error the rest is still tried; wait() returns the error from then on.
void Reclaimer::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
        if (stop_) return;
        const Core::Deletion deletion = waiting_.front();
        lock.unlock();
        Status done = in_words(Errc::no_memory, [&] { return reclaim(deletion); });
        const std::string& name = deletion.trimming->name;
        with_memory([&] { say(name, done); });
        lock.lock();
        if (stop_) return;
        if (!done) outcome_ = std::move(done);
        waiting_.pop_front();
        changed_.notify_all();
    }
}

void Reclaimer::say(const std::string& name, const Status& done) const {
    if (stop_) return;
    if (done) return log(options_, LogLevel::info, "volume {}: its space is free again", name);
    log(options_, LogLevel::warning,
        "volume {}: deleted, but its space becomes free only when the array is opened again: {}",
        name, done.error().message);
}

// A request that is under way is waited for even when it has to stop: it refers to `change`. One
// trim is of 16 GiB at most, so that closing waits for no more.
Status Reclaimer::reclaim(const Core::Deletion& deletion) {
    VolumeChange change(core_, deletion);
    while (change.in_flight() || !stop_) {
        if (change.step()) return change.outcome();
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return {};
}

}  // namespace qlcshape
