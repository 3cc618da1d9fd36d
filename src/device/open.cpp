// SPDX-License-Identifier: Apache-2.0
// From a path to a device.
#include <memory>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/guarded.h"
#include "base/patience.h"
#include "device/device.h"
#include "device/file_device.h"
#include "device/medium.h"
#include "device/memory_device.h"
#include "device/unanswered.h"

namespace qlcshape {

namespace {

// A call that opens a device, as long as it lasts. Any thread.
class Opening {
  public:
    void end() {
        const Locked lock(mutex_);
        ended_ = true;
        unanswered_.reset();
    }
    void give_up(const std::string& path) {
        const std::string medium = medium_of(path);
        const Locked lock(mutex_);
        if (!ended_) unanswered_.emplace(medium, path);
    }

  private:
    Mutex mutex_;
    bool ended_ QS_GUARDED_BY(mutex_) = false;
    std::optional<Unanswered> unanswered_ QS_GUARDED_BY(mutex_);
};

// A file system may hang. What is opened too late is closed again at once; but a file that is made
// is waited for, since nobody would remove it.
Result<std::unique_ptr<Device>> open_in_time(const std::string& path, std::uint64_t size_bytes,
                                             Access access, bool make) {
    if (make) return open_file_device(path, size_bytes, access, make);
    auto opening = std::make_shared<Opening>();
    auto opened = with_patience([=] {
        auto device = open_file_device(path, size_bytes, access, false);
        opening->end();
        return device;
    });
    if (opened) return std::move(*opened);
    opening->give_up(path);
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
    // What this process no longer waits for may hold the lock.
    if (!device && device.error().code == Errc::busy && is_unanswered(medium_of(path), path)) {
        return fail(Errc::device_failed,
                    "{}: does not answer: it still has a transfer that this process waited for in "
                    "vain, and is locked until that ends; look at the drive and its path",
                    path);
    }
    if (device && access != Access::read_write) (*device)->set_read_only();
    return device;
}

}  // namespace qlcshape
