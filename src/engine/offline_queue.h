// SPDX-License-Identifier: Apache-2.0
// The system's clock, and a queue for who makes an array or looks at one that is not open here.
#pragma once

#include "base/clock.h"
#include "device/io.h"
#include "qlcshape/options.h"

namespace qlcshape {

class SystemClock : public Clock {
  public:
    std::uint64_t now_ns() override;
};

inline std::uint64_t io_limit_ns(const Options& options) {
    return std::uint64_t{options.io_timeout_ms} * 1'000'000;
}
// Refuses an io_timeout out of range.
Status check_io_timeout(const Options& options);

// A transfer that takes too long ends in an error. There is no thread that watches: the queue that
// waits looks at the clock itself.
class OfflineQueue {
  public:
    explicit OfflineQueue(const Options& options) : io_clock_(clock_, io_limit_ns(options)) {
        queue_.set_clock(io_clock_, IoQueue::Late::copied);
    }
    IoQueue& queue() { return queue_; }

  private:
    SystemClock clock_;
    IoClock io_clock_;
    IoQueue queue_;
};

}  // namespace qlcshape
