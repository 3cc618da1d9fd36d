// SPDX-License-Identifier: Apache-2.0
#include "device/medium.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device/memory_device.h"

namespace qlcshape {

std::string medium_of(const struct stat& status) {
    if (S_ISBLK(status.st_mode))
        return fmt::format("block-{}:{}", major(status.st_rdev), minor(status.st_rdev));
    if (!S_ISREG(status.st_mode)) return "";
    return fmt::format("file-{}:{}-{}", major(status.st_dev), minor(status.st_dev), status.st_ino);
}

std::string medium_of(const std::string& path) {
    if (path.starts_with(kMemoryPrefix)) return memory_medium_of(path);
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? medium_of(status) : "";
}

}  // namespace qlcshape
