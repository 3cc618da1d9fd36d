// One writer, or several readers, on an open file: flock, which ends with the process.
#pragma once

#include <string>

#include "device/device.h"

namespace qlcshape {

// read_write locks out all but inspectors, read_only locks out writers, inspect locks nothing.
Status lock_file(int fd, const std::string& path, Access access);

}  // namespace qlcshape
