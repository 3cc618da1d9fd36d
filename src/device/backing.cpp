// SPDX-License-Identifier: Apache-2.0
#include "device/backing.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include "base/patience.h"
#include "device/file_lock.h"
#include "device/remedy.h"

namespace qlcshape {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSector = 512;  // of sysfs, whatever the drive's
constexpr int kDeepest = 8;
constexpr const char* kDeleted = " (deleted)";  // the kernel's word behind the name

std::optional<std::string> line_of(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    return line;
}

std::uint64_t number_in(const std::string& path) {
    std::ifstream file(path);
    std::uint64_t number = 0;
    return file >> number ? number : 0;
}

std::string node_of(const std::string& sysfs, dev_t number) {
    return fmt::format("{}/dev/block/{}:{}", sysfs, major(number), minor(number));
}

void look_at(const std::string& sysfs, Backing& backing) {
    // `status` looks for the server by all drives, and one of them may hang.
    const auto looked = with_patience(
        [path = backing.path] {
            std::optional<struct stat> status(std::in_place);
            if (::stat(path.c_str(), &*status) != 0) status.reset();
            return status;
        },
        std::chrono::seconds(1));
    backing.silent = !looked;
    if (!looked || !*looked) return;
    const struct stat& status = **looked;
    backing.block = S_ISBLK(status.st_mode);
    backing.named = backing.block || S_ISREG(status.st_mode);
    backing.device = backing.block ? status.st_rdev : status.st_dev;
    backing.inode = backing.block ? 0 : status.st_ino;
    const std::uint64_t size = backing.block
                                   ? number_in(node_of(sysfs, backing.device) + "/size") * kSector
                                   : static_cast<std::uint64_t>(status.st_size);
    // A loop device leaves out the sector that is not whole.
    backing.whole = backing.offset == 0 && backing.bytes != 0 && backing.bytes + kSector > size;
}

// `bytes` at `offset` of the device at `node`; bytes 0: which of its bytes is not known.
void walk(const std::string& sysfs, std::string node, std::uint64_t offset, std::uint64_t bytes,
          int depth, std::vector<Backing>& found) {
    std::error_code failed;
    if (depth == kDeepest) return;
    if (fs::exists(node + "/partition", failed)) {
        offset += number_in(node + "/start") * kSector;
        node += "/..";
    }
    if (const auto path = line_of(node + "/loop/backing_file")) {
        Backing backing{.loop = fs::canonical(node, failed).filename().string(), .path = *path};
        backing.offset = offset + number_in(node + "/loop/offset");
        backing.bytes = bytes;
        look_at(sysfs, backing);
        found.push_back(backing);
        if (backing.block)
            walk(sysfs, node_of(sysfs, backing.device), backing.offset, bytes, depth + 1, found);
        return;
    }
    for (fs::directory_iterator slave(node + "/slaves", failed), end; !failed && slave != end;
         slave.increment(failed)) {
        walk(sysfs, slave->path().string(), 0, 0, depth + 1, found);
    }
}

// By what the kernel says of the file that the loop device at `fd` has, not by its name, which may
// mean another file in this process's mounts. True where that can't be asked.
bool is_of_loop(int fd, const Backing& backing) {
    loop_info64 info{};
    if (::ioctl(fd, LOOP_GET_STATUS64, &info) != 0 || backing.block) return true;
    return info.lo_inode == backing.inode && major(info.lo_device) == major(backing.device) &&
           minor(info.lo_device) == minor(backing.device);
}

Status lock_range(int fd, const std::string& name, const Backing& backing, Access access) {
    struct flock lock {};
    lock.l_type = access == Access::read_write ? F_WRLCK : F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(backing.offset);
    lock.l_len = static_cast<off_t>(backing.bytes);
    if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return {};
    if (errno != EAGAIN && errno != EACCES)
        return fail(open_failure(errno),
                    "{}: can't be locked: {}; does its file system support locks?", name,
                    std::strerror(errno));
    return fail(Errc::busy,
                "{}: a part of it is in use by another process, or as another device of this one; "
                "close it there first",
                name);
}

Status lock_backing(const Backing& backing, const std::string& path, Access access, Held& held) {
    const std::string name =
        fmt::format("{}, which /dev/{} has under {}", backing.path, backing.loop, path);
    const bool ranged = !backing.whole && backing.bytes != 0;
    int flags = O_CLOEXEC | (ranged && access == Access::read_write ? O_RDWR : O_RDONLY);
    // As for a block device that is opened itself.
    if (backing.block && backing.whole && access == Access::read_write) flags |= O_EXCL;
    const int fd = ::open(backing.path.c_str(), flags);
    if (fd < 0) {
        const int cause = errno;
        const std::string remedy =
            cause == EBUSY ? "release it there first" : remedy_of(cause, backing.path);
        return fail(open_failure(cause), "{}: it can't be locked against other openings: {}; {}",
                    name, std::strerror(cause), remedy);
    }
    held.add(fd);
    // Ranges share the file, and lock out who has all of it.
    QS_TRY(lock_file(fd, name, backing.whole ? access : Access::read_only));
    return ranged ? lock_range(fd, name, backing, access) : Status{};
}

}  // namespace

std::vector<Backing> backings_of(const std::string& sysfs, dev_t number) {
    std::vector<Backing> found;
    const std::string node = node_of(sysfs, number);
    walk(sysfs, node, 0, number_in(node + "/size") * kSector, 0, found);
    return found;
}

std::string loops_over(const std::string& sysfs, const std::string& path) {
    std::error_code failed;
    const std::string wanted = fs::canonical(path, failed).string();
    std::string names;
    for (fs::directory_iterator device(sysfs + "/block", failed), end; !failed && device != end;
         device.increment(failed)) {
        if (line_of(device->path().string() + "/loop/backing_file") == wanted)
            names += (names.empty() ? "/dev/" : ", /dev/") + device->path().filename().string();
    }
    return names;
}

Held::~Held() { close(); }

void Held::close() {
    for (const int descriptor : descriptors_) ::close(descriptor);
    descriptors_.clear();
}

Status lock_backings(const std::vector<Backing>& backings, int fd, const std::string& path,
                     Access access, Held& held) {
    if (access == Access::inspect) return {};
    for (const Backing& backing : backings) {
        const bool nearest = &backing == backings.data();
        if (backing.named && (!nearest || is_of_loop(fd, backing))) {
            const Status locked = lock_backing(backing, path, access, held);
            if (locked) continue;
            const std::string loops = loops_over(kSysfs, backing.path);
            if (locked.error().code != Errc::busy || loops.empty()) return locked;
            return fail(Errc::busy, "{}; it is attached as {}", locked.error().message, loops);
        }
        if (backing.silent) {
            return fail(Errc::device_failed,
                        "{}: its file {} does not answer, so that it can't be locked against "
                        "other openings; look why its file system hangs",
                        path, backing.path);
        }
        // Nobody else can open it by a name.
        if (backing.path.ends_with(kDeleted)) continue;
        return fail(Errc::io_error,
                    "{}: its file is {}, which can't be found under that name here, so that it "
                    "can't be locked against other openings; make it visible there, or attach "
                    "the file again",
                    path, backing.path);
    }
    return {};
}

bool are_locked_for_writing(const std::vector<Backing>& backings) {
    for (const Backing& backing : backings) {
        const int fd = backing.named ? ::open(backing.path.c_str(), O_RDONLY | O_CLOEXEC) : -1;
        const bool locked = fd >= 0 && is_locked_for_writing(fd);
        if (fd >= 0) ::close(fd);
        if (locked) return true;
    }
    return false;
}

}  // namespace qlcshape
