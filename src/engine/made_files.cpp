// SPDX-License-Identifier: Apache-2.0
#include "engine/made_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include "device/medium.h"
#include "device/memory_device.h"

namespace qlcshape {

namespace {

// Of what is no file: 0.
std::uint64_t file_bytes(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
    return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace

// Looked at before and after: open_device() makes files, and makes shorter ones longer, perhaps
// before it fails.
Result<std::unique_ptr<Device>> MadeFiles::open(const DeviceOptions& device) {
    const bool there = !medium_of(device.path).empty() || ::access(device.path.c_str(), F_OK) == 0;
    const std::uint64_t before = file_bytes(device.path);
    auto opened = open_device(device.path, device.size_bytes, Access::read_write, true);
    if (!there && opened) changed_.push_back({device.path, std::nullopt});
    if (there && file_bytes(device.path) != before) changed_.push_back({device.path, before});
    return opened;
}

MadeFiles::~MadeFiles() {
    for (const Changed& c : changed_) {
        if (c.bytes) {
            // Nobody can be told: the refusal that led here is what the caller hears of.
            [[maybe_unused]] const int failed =
                ::truncate(c.path.c_str(), static_cast<off_t>(*c.bytes));
        } else if (c.path.starts_with(kMemoryPrefix)) {
            forget_memory_device(c.path);
        } else {
            ::unlink(c.path.c_str());
        }
    }
}

}  // namespace qlcshape
