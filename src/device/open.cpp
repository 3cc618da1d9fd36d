// SPDX-License-Identifier: Apache-2.0
// From a path to a device.
#include "base/assert.h"
#include "device/device.h"
#include "device/file_device.h"
#include "device/memory_device.h"

namespace qlcshape {

Result<std::unique_ptr<Device>> open_device(const std::string& path, std::uint64_t size_bytes,
                                            Access access, bool make) {
    QS_ASSERT(!make || access == Access::read_write);
    if (path.empty())
        return fail(Errc::invalid_argument,
                    "a device has an empty path; give a file, a block device or \"memory:NAME\"");
    if (path.find('\0') != std::string::npos) {
        return fail(Errc::invalid_argument,
                    "the path of {} has a NUL character, which no path can have", path.c_str());
    }
    auto device = path.starts_with(kMemoryPrefix)
                      ? open_memory_device(path, size_bytes, access, make)
                      : open_file_device(path, size_bytes, access, make);
    if (device && access != Access::read_write) (*device)->set_read_only();
    return device;
}

}  // namespace qlcshape
