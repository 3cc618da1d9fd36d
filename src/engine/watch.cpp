// SPDX-License-Identifier: Apache-2.0
#include "engine/watch.h"

#include <pthread.h>

#include <chrono>
#include <utility>

namespace qlcshape {

namespace {

constexpr std::chrono::milliseconds kLookInterval(250);

}  // namespace

Watch::Watch(const char* name, std::function<void()> look, WaitingThreads& threads)
    : look_(std::move(look)) {
    thread_ = threads.run([this] { run(); });
    pthread_setname_np(thread_.native_handle(), name);
}

Watch::~Watch() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    stopping_.notify_one();
    thread_.join();
}

void Watch::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_.wait_for(lock, kLookInterval, [this] { return stop_; })) with_memory(look_);
}

}  // namespace qlcshape
