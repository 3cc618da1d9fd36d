// SPDX-License-Identifier: Apache-2.0
// From a path to a device.
#include "base/assert.h"
#include "base/patience.h"
#include "device/device.h"
#include "device/file_device.h"
#include "device/memory_device.h"

namespace qlcshape {

namespace {

// A file system may hang. What is opened too late is closed again at once; but a file that is made
// is waited for, since nobody would remove it.
Result<std::unique_ptr<Device>> open_in_time(const std::string& path, std::uint64_t size_bytes,
                                             Access access, bool make) {
    if (make) return open_file_device(path, size_bytes, access, make);
    auto opened = with_patience([=] { return open_file_device(path, size_bytes, access, false); });
    if (opened) return std::move(*opened);
    return fail(Errc::device_failed,
                "{}: opening it takes longer than {} s; look why its drive or file system does not "
                "answer",
                path, kCallPatience.count());
}

}  // namespace

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
                      : open_in_time(path, size_bytes, access, make);
    if (device && access != Access::read_write) (*device)->set_read_only();
    return device;
}

}  // namespace qlcshape
