// SPDX-License-Identifier: Apache-2.0
// A queue's way to the kernel: a ring on /dev/ublkcN, an eventfd that wakes it, and the requests'
// descriptions, which the kernel writes to memory that is mapped here. Set up, used and closed by
// the queue's thread; wake() by any.
#pragma once

#include <liburing.h>

#include "base/error.h"
#include "tools/ublk/queue.h"

namespace qlcshape::ublk {

class RingLink final : public Link {
  public:
    // `encoded`: the kernel takes the encoded form of commands.
    RingLink(int device_fd, std::uint16_t queue, std::uint16_t depth, bool encoded);
    ~RingLink() override;
    RingLink(const RingLink&) = delete;
    RingLink& operator=(const RingLink&) = delete;

    Status set_up();
    // Ends the ring: the device's file is no longer used. wake() may still be called.
    void close();

    const ublksrv_io_desc& description(std::uint16_t tag) const override;
    void fetch(std::uint16_t tag, std::byte* buffer) override;
    void commit(std::uint16_t tag, std::byte* buffer, int result) override;
    bool receive(Wait wait, std::vector<Arrival>& arrivals) override;
    void wake() override;

  private:
    static constexpr std::uint64_t kWakeTag = UINT64_MAX;

    void send(std::uint32_t command, std::uint16_t tag, std::byte* buffer, int result);
    void arm_wake();
    int enter(Wait wait);

    const int device_fd_;
    const std::uint16_t queue_;
    const std::uint16_t depth_;
    const bool encoded_;
    const ublksrv_io_desc* descriptions_ = nullptr;
    std::size_t mapped_bytes_ = 0;
    int wake_fd_ = -1;
    std::uint64_t woken_ = 0;  // read into
    io_uring ring_{};
    bool ring_made_ = false;
};

}  // namespace qlcshape::ublk
