// SPDX-License-Identifier: Apache-2.0
// One writer, or several readers, on an open file: flock, which ends with the process.
#pragma once

#include <string>

#include "device/device.h"

namespace qlcshape {

// read_write locks out all but inspectors, read_only locks out writers, inspect locks nothing.
Status lock_file(int fd, const std::string& path, Access access);

// Of a locked file which this process does not use any more, and of which a drive keeps transfers:
// who finds it locked then knows that nobody has it open.
void mark_left_to_kernel(int fd);

// Whether a process has the file locked for writing. Takes a lock itself, for a moment.
bool is_locked_for_writing(int fd);

}  // namespace qlcshape
