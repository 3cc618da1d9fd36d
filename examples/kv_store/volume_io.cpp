// SPDX-License-Identifier: Apache-2.0
#include "kv_store/volume_io.h"

#include <qlcshape/engine.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace kv_store {

// Well below what the engine refuses, so that it never does.
constexpr std::size_t kMostInFlight = qlcshape::Engine::kMaxRequests / 2;

VolumeIo::VolumeIo(qlcshape::Volume volume)
    : volume_(std::move(volume)), event_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (event_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

VolumeIo::~VolumeIo() { close(event_fd_); }

void VolumeIo::submit(qlcshape::Op op, std::uint64_t offset_bytes, std::uint64_t bytes,
                      std::byte* data, Done done) {
    auto transfer = std::make_unique<Transfer>();
    transfer->request.op = op;
    transfer->request.offset_bytes = offset_bytes;
    transfer->request.bytes = bytes;
    transfer->request.data = data;
    transfer->done = std::move(done);
    if (in_flight_ < kMostInFlight) {
        start(std::move(transfer));
    } else {
        waiting_.push_back(std::move(transfer));
    }
}

void VolumeIo::start(std::unique_ptr<Transfer> transfer) {
    ++in_flight_;
    // From here on the engine holds it; `done` hands it back.
    Transfer* raw = transfer.release();
    raw->request.done = [this, raw](qlcshape::Status result) {
        raw->result = std::move(result);
        complete(raw);
    };
    qlcshape::Status taken = volume_.submit(raw->request);
    if (!taken) {  // `done` will not be called
        raw->result = std::move(taken);
        complete(raw);
    }
}

void VolumeIo::complete(Transfer* transfer) {
    std::lock_guard lock(mutex_);
    completed_.emplace_back(transfer);
    // Under the lock, so that the loop can't see the last completion and take everything down
    // before this thread has let go of it.
    if (completed_.size() == 1) eventfd_write(event_fd_, 1);
}

void VolumeIo::poll() {
    eventfd_t count = 0;
    eventfd_read(event_fd_, &count);
    std::vector<std::unique_ptr<Transfer>> completed;
    {
        std::lock_guard lock(mutex_);
        completed.swap(completed_);
    }
    in_flight_ -= completed.size();
    while (in_flight_ < kMostInFlight && !waiting_.empty()) {
        auto next = std::move(waiting_.front());
        waiting_.pop_front();
        start(std::move(next));
    }
    for (const auto& transfer : completed) transfer->done(std::move(transfer->result));
}

}  // namespace kv_store
