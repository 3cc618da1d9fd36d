// SPDX-License-Identifier: Apache-2.0
// Time, passed in: the system's in an engine, a virtual one under the simulator.
#pragma once

#include <cstdint>

namespace qlcshape {

class Clock {
  public:
    virtual ~Clock() = default;
    virtual std::uint64_t now_ns() = 0;  // monotonic, nanoseconds

    // Since an earlier now_ns(). A monotonic clock goes back if a machine or container is restored
    // from a checkpoint; then the result is 0.
    std::uint64_t elapsed_ns(std::uint64_t since) {
        const std::uint64_t now = now_ns();
        return now > since ? now - since : 0;
    }
};

}  // namespace qlcshape
