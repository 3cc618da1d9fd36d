// SPDX-License-Identifier: Apache-2.0
// The library's asynchronous interface, for a program with one event loop: requests of any number
// go to the volume, and their continuations run in poll(), on the loop's thread.
//
// Volume::submit() calls `done` on a thread of the engine, where little may be done. So `done` only
// leaves its result in a list here and wakes the loop through an eventfd.
#pragma once

#include <qlcshape/volume.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace kv_store {

class VolumeIo {
  public:
    using Done = std::move_only_function<void(qlcshape::Status)>;

    explicit VolumeIo(qlcshape::Volume volume);
    ~VolumeIo();  // idle() must hold
    VolumeIo(const VolumeIo&) = delete;

    // Any number at once; the engine sees some, the others wait here. `data` must stay until
    // `done`, which is never called from inside submit().
    void submit(qlcshape::Op op, std::uint64_t offset_bytes, std::uint64_t bytes, std::byte* data,
                Done done);

    // Readable when poll() has something to do.
    int event_fd() const { return event_fd_; }
    void poll();
    bool idle() const { return in_flight_ == 0 && waiting_.empty(); }

    const qlcshape::Volume& volume() const { return volume_; }

  private:
    struct Transfer {
        qlcshape::Request request;
        Done done;
        qlcshape::Status result;
    };

    void start(std::unique_ptr<Transfer> transfer);
    void complete(Transfer* transfer);  // any thread

    qlcshape::Volume volume_;
    int event_fd_;
    std::deque<std::unique_ptr<Transfer>> waiting_;
    std::size_t in_flight_ = 0;

    std::mutex mutex_;
    std::vector<std::unique_ptr<Transfer>> completed_;  // under mutex_
};

}  // namespace kv_store
