// SPDX-License-Identifier: Apache-2.0
#include "device/medium.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/patience.h"
#include "device/backing.h"
#include "device/memory_device.h"

namespace qlcshape {

namespace {

std::string name_of(bool block, dev_t device, ino_t inode) {
    if (block) return fmt::format("block-{}:{}", major(device), minor(device));
    return fmt::format("file-{}:{}-{}", major(device), minor(device), inode);
}

}  // namespace

std::string medium_of(const struct stat& status) {
    if (S_ISREG(status.st_mode)) return name_of(false, status.st_dev, status.st_ino);
    if (!S_ISBLK(status.st_mode)) return "";
    std::string name = name_of(true, status.st_rdev, 0);
    for (const Backing& b : backings_of(kSysfs, status.st_rdev)) {
        if (b.silent) return "";
        if (!b.whole) break;
        name = name_of(b.block, b.device, b.inode);
    }
    return name;
}

std::string medium_of(const std::string& path) {
    if (path.starts_with(kMemoryPrefix)) return memory_medium_of(path);
    const auto name = with_patience(
        [path] {
            struct stat status {};
            return ::stat(path.c_str(), &status) == 0 ? medium_of(status) : "";
        },
        std::chrono::seconds(2));
    return name.value_or("");
}

}  // namespace qlcshape
