// SPDX-License-Identifier: Apache-2.0
// Whether transfers take a slower way than a thread's own io_uring, and why. The result is the
// same; log and status report it, because a limit of the system is easily raised.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace qlcshape {

enum class SlowIo : std::uint8_t {
    no_ring,            // blocking calls, one transfer at a time
    no_kernel_threads,  // blocking calls for transfers that the kernel gives to threads of its own
    no_buffers,         // memory isn't registered, so the kernel pins it for each transfer
    count,
};

// Of one queue. The owner's thread notes, any thread reads.
class SlowIoLog {
  public:
    void note(SlowIo what, int error_number) { at(what).store(error_number); }
    // 0: it did not happen.
    int error_number(SlowIo what) const {
        return error_numbers_[static_cast<std::size_t>(what)].load();
    }

  private:
    std::atomic<int>& at(SlowIo what) { return error_numbers_[static_cast<std::size_t>(what)]; }

    std::array<std::atomic<int>, static_cast<std::size_t>(SlowIo::count)> error_numbers_{};
};

// A sentence: what is slower, the cause, the remedy.
std::string describe(SlowIo what, int error_number);

}  // namespace qlcshape
