// SPDX-License-Identifier: Apache-2.0
// Transfers by blocking system calls: for a thread without an io_uring, and for what the kernel
// can't do there.
#pragma once

#include "device/ring.h"

namespace qlcshape {

// 0, or an errno. Any thread.
int transfer_now(const Io& io, const OpenFile& file);

}  // namespace qlcshape
