// SPDX-License-Identifier: Apache-2.0
// What helps where the kernel refuses a transfer or another call on a drive's file, by its errno:
// the one place that all messages take it from.
#pragma once

#include <string>

#include "qlcshape/error.h"

namespace qlcshape {

// "free space on the file system that holds qlc0.img"; `path` is what was read or written. Any
// thread.
std::string remedy_of(int error_number, const std::string& path);

// What it means that a drive's file is not opened, or not locked: device_failed, the drive is dead
// or gone, whatever is left of its path; io_error, it may be well.
Errc open_failure(int error_number);

// The drive works: its file system is full or read-only, or a limit or permission refused the call.
// To reconnect the drive would not help.
bool refused_by_system(int error_number);

}  // namespace qlcshape
