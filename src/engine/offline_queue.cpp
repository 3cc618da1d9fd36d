// SPDX-License-Identifier: Apache-2.0
#include "engine/offline_queue.h"

#include <chrono>

namespace qlcshape {

std::uint64_t SystemClock::now_ns() {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count());
}

Status check_io_timeout(const Options& options) {
    if (options.io_timeout_ms >= 1000 && options.io_timeout_ms <= 3'600'000) return {};
    return fail(Errc::invalid_argument, "io_timeout is {} ms: it must be from 1 s to 3600 s",
                options.io_timeout_ms);
}

}  // namespace qlcshape
