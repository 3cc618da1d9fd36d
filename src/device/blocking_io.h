// SPDX-License-Identifier: Apache-2.0
// Transfers by blocking system calls: for a thread without an io_uring, and for what the kernel
// can't do there.
#pragma once

#include <cerrno>
#include <cstdint>

#include "device/ring.h"

namespace qlcshape {

// The kernel says "again" now and then. A blocking call holds its thread, so one that always does
// gets an end; in a ring the watch ends it.
constexpr std::uint32_t kMostTries = 10'000;
inline bool transient(int error_number) { return error_number == EINTR || error_number == EAGAIN; }

// 0, or an errno. Any thread.
int transfer_now(const Io& io, const OpenFile& file);

}  // namespace qlcshape
