// SPDX-License-Identifier: Apache-2.0
#include "tools/inplace.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "base/size_text.h"
#include "device/remedy.h"

namespace qlcshape::tools {

namespace {

constexpr std::uint64_t kMaxBytesPerDrive = GiB;
constexpr std::uint64_t kFillBytes = MiB;
const std::string kMemory = "memory:";

// The scratch devices; gone when this is.
class Scratch {
  public:
    ~Scratch() {
        devices_.clear();
        for (const std::string& path : paths_) {
            if (path.starts_with(kMemory)) {
                forget_memory_device(path);
            } else {
                std::error_code ignored;
                std::filesystem::remove(path, ignored);
            }
        }
    }

    Status add(const std::string& beside, std::uint64_t bytes) {
        const std::string path = beside + ".inplace";
        std::error_code error;
        if (!path.starts_with(kMemory)) {
            if (std::filesystem::exists(beside, error) &&
                !std::filesystem::is_regular_file(beside, error)) {
                return fail(
                    Errc::invalid_argument,
                    "{}: the in-place comparison needs scratch files next to the devices: use "
                    "an array on files, or --memory",
                    beside);
            }
            QS_TRY(fill(path, bytes));
        }
        auto device = open_device(path, bytes, Access::read_write, true);
        if (!device) return fail(device.error());
        paths_.push_back(path);
        devices_.push_back(std::move(*device));
        return {};
    }

    std::vector<Device*> devices() const {
        std::vector<Device*> all;
        for (const auto& device : devices_) all.push_back(device.get());
        return all;
    }

  private:
    // Makes the file: one that is there already is somebody's.
    Status fill(const std::string& path, std::uint64_t bytes) {
        const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            return fail(Errc::io_error, "{}: cannot make a scratch file: {}; {}", path,
                        std::strerror(errno), remedy_of(errno, path));
        }
        paths_.push_back(path);
        const Buffer zeroes(kFillBytes);
        ::ssize_t written = 1;
        for (std::uint64_t at = 0; at < bytes && written > 0;) {
            written = ::write(fd, zeroes.data(), std::min(kFillBytes, bytes - at));
            at += static_cast<std::uint64_t>(std::max<::ssize_t>(written, 0));
        }
        const bool good = written > 0 && ::fsync(fd) == 0;
        const int cause = errno;
        ::close(fd);
        if (good) return {};
        return fail(Errc::io_error, "{}: cannot fill a scratch file of {}: {}; {}", path,
                    size_text(bytes), std::strerror(cause), remedy_of(cause, path));
    }

    std::vector<std::string> paths_;
    std::vector<std::unique_ptr<Device>> devices_;
};

std::uint64_t size_on_disk(const DeviceOptions& device) {
    if (device.size_bytes != 0) return device.size_bytes;
    std::error_code error;
    const auto bytes = std::filesystem::file_size(device.path, error);
    return error ? 0 : bytes;
}

}  // namespace

Result<InplaceResult> run_inplace_beside(const Options& options, std::uint32_t depth,
                                         double seconds, std::uint64_t seed,
                                         const std::function<void(double)>& progress) {
    InplaceLayout layout;
    layout.data_strips = options.data_strips;
    layout.strip_bytes = options.strip_bytes;
    layout.bytes_per_drive = kMaxBytesPerDrive;
    for (const DeviceOptions& device : options.devices) {
        if (device.role != Role::qlc) continue;
        layout.bytes_per_drive = std::min(layout.bytes_per_drive, size_on_disk(device));
    }
    layout.bytes_per_drive = round_down(layout.bytes_per_drive, layout.strip_bytes);

    Scratch scratch;
    double filled = 0;
    for (const DeviceOptions& device : options.devices) {
        if (device.role != Role::qlc) continue;
        QS_TRY(scratch.add(device.path, layout.bytes_per_drive));
        filled += 100.0 / (options.data_strips + 2);
        if (progress) progress(filled);
    }
    InplaceLimits limits;
    limits.seconds = seconds;
    return run_inplace_raid6(scratch.devices(), layout, depth, limits, seed);
}

}  // namespace qlcshape::tools
