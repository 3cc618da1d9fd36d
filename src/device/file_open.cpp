// SPDX-License-Identifier: Apache-2.0
// Opening a file or a block device: which of the two it is, its lock, size and geometry. Any
// thread.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/size_text.h"
#include "base/types.h"
#include "device/backing.h"
#include "device/file_device.h"
#include "device/file_lock.h"
#include "device/remedy.h"

namespace qlcshape {

namespace {

struct Opened {
    std::shared_ptr<const OpenFile> file;
    bool made = false;
    bool direct = false;
};

// What an opening for writing was refused may still be readable.
bool only_writing_is_refused(const std::string& path, Access access, bool make) {
    return access == Access::read_write && !make &&
           ::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0;
}

std::unexpected<Error> cannot_open(const std::string& path, int error_number,
                                   Access access = Access::inspect, bool make = false) {
    const char* const read_only = only_writing_is_refused(path, access, make)
                                      ? "; the array can still be opened read-only"
                                      : "";
    const char* cause = strerrordesc_np(error_number);
    switch (error_number) {
        case ENOENT:
        case ENXIO:
            return fail(
                Errc::missing_device,
                "{}: does not exist; attach the drive, correct the path, or create the file first",
                path);
        case EBUSY:
            return fail(Errc::busy,
                        "{}: in use by the kernel (mounted, swap, or part of md or LVM), or opened "
                        "exclusively by another process; release it there first",
                        path);
        case EACCES:
        case EPERM:
            return fail(Errc::io_error,
                        "{}: can't be opened: {}; check its owner and permissions{}", path, cause,
                        read_only);
        case EROFS:
            return fail(Errc::read_only, "{}: its medium is read-only; {}{}", path,
                        remedy_of(EROFS, path), read_only);
        default:
            return fail(open_failure(error_number), "{}: can't be opened: {}; {}", path, cause,
                        remedy_of(error_number, path));
    }
}

// Some file systems take O_DIRECT only to refuse the first read.
void leave_direct_if_refused(Opened& opened) {
    if (!opened.direct) return;
    const Buffer block(kBlockBytes);
    if (::pread(opened.file->fd, block.data(), block.size(), 0) >= 0 || errno != EINVAL) return;
    const int flags = ::fcntl(opened.file->fd, F_GETFL);
    opened.direct = ::fcntl(opened.file->fd, F_SETFL, flags & ~O_DIRECT) != 0;
}

std::vector<Backing> backings_at(int fd) {
    struct stat status {};
    return ::fstat(fd, &status) == 0 ? backings_of(kSysfs, status.st_rdev) : std::vector<Backing>{};
}

Result<Opened> open_existing(const std::string& path, Access access, bool block_device, bool make) {
    // O_EXCL keeps mounts and md away from a block device.
    Held held;
    if (block_device && access == Access::read_write) {
        const int claim = ::open(path.c_str(), O_CLOEXEC | O_RDONLY | O_EXCL);
        if (claim < 0) return cannot_open(path, errno, access, make);
        held.add(claim);
    }
    const int flags = O_CLOEXEC | (access == Access::read_write ? O_RDWR : O_RDONLY);
    int fd = ::open(path.c_str(), flags | O_DIRECT);
    const bool direct = fd >= 0;
    if (fd < 0 && errno == EINVAL) fd = ::open(path.c_str(), flags);
    if (fd < 0) return cannot_open(path, errno, access, make);
    Status locked;
    if (block_device) locked = lock_backings(backings_at(fd), fd, path, access, held);
    Opened opened{.file = std::make_shared<const OpenFile>(fd, std::move(held)), .direct = direct};
    QS_TRY(locked);
    return opened;
}

Result<Opened> make_file(const std::string& path) {
    constexpr mode_t kOwnerAlone = 0600;
    const int fd = ::open(path.c_str(), O_CLOEXEC | O_RDWR | O_CREAT | O_EXCL, kOwnerAlone);
    if (fd < 0 && errno == ENOENT) {
        return fail(Errc::missing_device, "{}: its folder does not exist; create it first", path);
    }
    if (fd < 0) {
        return fail(Errc::io_error, "{}: can't be made: {}; {}", path, std::strerror(errno),
                    remedy_of(errno, path));
    }
    Opened opened;
    opened.file = std::make_shared<const OpenFile>(fd);
    opened.made = true;
    opened.direct = ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_DIRECT) == 0;
    return opened;
}

// The name of a new file must be as durable as the data that will be acknowledged in it.
Status make_name_durable(const std::string& path) {
    std::error_code failing;  // then there is no folder to open either
    const std::filesystem::path folder = std::filesystem::absolute(path, failing).parent_path();
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool failed = fd < 0 || ::fsync(fd) != 0;
    const int error_number = errno;
    if (fd >= 0) ::close(fd);
    if (!failed || error_number == EINVAL) return {};
    return fail(Errc::io_error, "{}: its folder can't be flushed: {}; {}", path,
                std::strerror(error_number), remedy_of(error_number, path));
}

Status grow(const Opened& opened, const std::string& path, std::uint64_t size_bytes) {
    if (::ftruncate(opened.file->fd, static_cast<off_t>(size_bytes)) == 0 &&
        ::fsync(opened.file->fd) == 0) {
        return {};
    }
    return fail(Errc::io_error, "{}: can't be made {} large: {}; {}", path, size_text(size_bytes),
                std::strerror(errno), remedy_of(errno, path));
}

Result<std::uint64_t> settle_file_size(const Opened& opened, const std::string& path,
                                       std::uint64_t size_bytes, bool make) {
    struct stat status {};
    if (::fstat(opened.file->fd, &status) != 0) return cannot_open(path, errno);
    auto present = static_cast<std::uint64_t>(status.st_size);
    if (size_bytes > present && make) {
        QS_TRY(grow(opened, path, size_bytes));
        if (opened.made) QS_TRY(make_name_durable(path));
        present = size_bytes;
    }
    if (size_bytes != 0 && size_bytes != present) {
        return fail(Errc::invalid_argument,
                    "{}: its size is {} ({} bytes), but {} ({} bytes) was given; give its true "
                    "size, or another file",
                    path, size_text(present), present, size_text(size_bytes), size_bytes);
    }
    if (present < kBlockBytes) {
        return fail(Errc::invalid_argument, "{}: its size is {} bytes; at least 4 KiB are needed",
                    path, present);
    }
    return present;
}

// Drives that keep their cache through a power cut report "write through" and need no flush.
bool cache_is_volatile(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return true;
    const std::string node =
        fmt::format("/sys/dev/block/{}:{}", major(status.st_rdev), minor(status.st_rdev));
    for (const char* place : {"/queue/write_cache", "/../queue/write_cache"}) {
        std::ifstream file(node + place);
        std::string word;
        if (std::getline(file, word)) return word != "write through";
    }
    return true;
}

Result<Geometry> block_device_geometry(const Opened& opened, const std::string& path) {
    const int fd = opened.file->fd;
    Geometry geometry;
    int logical_bytes = 0;
    unsigned optimal_bytes = 0;
    if (::ioctl(fd, BLKGETSIZE64, &geometry.capacity_bytes) != 0 ||
        ::ioctl(fd, BLKSSZGET, &logical_bytes) != 0) {
        return fail(open_failure(errno), "{}: its size can't be determined: {}", path,
                    std::strerror(errno));
    }
    if (logical_bytes != 512 && logical_bytes != 4096) {
        return fail(Errc::unsupported,
                    "{}: has logical blocks of {} bytes; use a drive with 512 or 4096", path,
                    logical_bytes);
    }
    geometry.block_bytes = static_cast<std::uint32_t>(logical_bytes);
    geometry.atomic_write_bytes = geometry.block_bytes;
    if (::ioctl(fd, BLKIOOPT, &optimal_bytes) == 0 && std::has_single_bit(optimal_bytes) &&
        optimal_bytes >= 4 * KiB && optimal_bytes <= MiB) {
        geometry.iu_bytes = optimal_bytes;
    }
    geometry.volatile_cache = !opened.direct || cache_is_volatile(fd);
    geometry.capacity_bytes = round_down(geometry.capacity_bytes, kBlockBytes);
    return geometry;
}

std::unique_ptr<Device> make_device(const std::string& path, const Geometry& geometry,
                                    std::shared_ptr<const OpenFile> file, Access access,
                                    bool block_device) {
    const int fd = file->fd;
    auto device = std::make_unique<FileDevice>(path, geometry, std::move(file), block_device);
    device->set_held_elsewhere(
        access == Access::inspect &&
        (is_locked_for_writing(fd) || (block_device && are_locked_for_writing(backings_at(fd)))));
    return device;
}

Result<std::unique_ptr<Device>> open_block_device(const std::string& path, std::uint64_t size_bytes,
                                                  Access access, bool make) {
    const Result<Opened> opened = open_existing(path, access, true, make);
    QS_TRY(opened);
    QS_TRY(lock_file(opened->file->fd, path, access));
    const Result<Geometry> geometry = block_device_geometry(*opened, path);
    QS_TRY(geometry);
    const std::uint64_t needed = std::max<std::uint64_t>(size_bytes, kBlockBytes);
    if (geometry->capacity_bytes < needed) {
        return fail(Errc::invalid_argument,
                    "{}: its size is {} ({} bytes), but {} ({} bytes) was given", path,
                    size_text(geometry->capacity_bytes), geometry->capacity_bytes,
                    size_text(needed), needed);
    }
    return make_device(path, *geometry, opened->file, access, true);
}

Result<std::unique_ptr<Device>> open_regular_file(const std::string& path, Opened opened,
                                                  std::uint64_t size_bytes, Access access,
                                                  bool make) {
    if (const Status locked = lock_file(opened.file->fd, path, access); !locked) {
        const std::string loops = loops_over(kSysfs, path);
        if (locked.error().code != Errc::busy || loops.empty()) return fail(locked.error());
        return fail(Errc::busy, "{}; it is attached as {}", locked.error().message, loops);
    }
    const Result<std::uint64_t> size = settle_file_size(opened, path, size_bytes, make);
    QS_TRY(size);
    leave_direct_if_refused(opened);
    Geometry geometry;
    geometry.capacity_bytes = round_down(*size, kBlockBytes);
    return make_device(path, geometry, std::move(opened.file), access, false);
}

Result<std::unique_ptr<Device>> open_new_file(const std::string& path, std::uint64_t size_bytes) {
    if (size_bytes < kBlockBytes || size_bytes % kBlockBytes != 0) {
        return fail(Errc::invalid_argument,
                    "{}: a new file needs a size that is a multiple of 4 KiB, not {} bytes", path,
                    size_bytes);
    }
    Result<Opened> opened = make_file(path);
    QS_TRY(opened);
    auto device = open_regular_file(path, *std::move(opened), size_bytes, Access::read_write, true);
    if (!device) ::unlink(path.c_str());
    return device;
}

}  // namespace

Result<std::unique_ptr<Device>> open_file_device(const std::string& path, std::uint64_t size_bytes,
                                                 Access access, bool make) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT && make) return open_new_file(path, size_bytes);
        return cannot_open(path, errno);
    }
    if (S_ISBLK(status.st_mode)) return open_block_device(path, size_bytes, access, make);
    if (!S_ISREG(status.st_mode)) {
        return fail(Errc::invalid_argument, "{}: neither a regular file nor a block device", path);
    }
    Result<Opened> opened = open_existing(path, access, false, make);
    QS_TRY(opened);
    return open_regular_file(path, *std::move(opened), size_bytes, access, make);
}

}  // namespace qlcshape
