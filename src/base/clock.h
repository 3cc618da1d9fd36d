// Time, passed in: the system's in an engine, a virtual one under the simulator.
#pragma once

#include <cstdint>

namespace qlcshape {

class Clock {
  public:
    virtual ~Clock() = default;
    virtual std::uint64_t now_ns() = 0;  // monotonic, nanoseconds
};

}  // namespace qlcshape
