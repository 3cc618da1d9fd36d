// SPDX-License-Identifier: Apache-2.0
#include "device/remedy.h"

#include <fmt/format.h>

#include <cerrno>

namespace qlcshape {

namespace {

// A thin volume has a pool, a loop device a file under it.
std::string make_room(const std::string& path) {
    if (path.starts_with("/dev/"))
        return "free space in the thin pool, or on the file system, under " + path;
    return "free space on the file system that holds " + path;
}

// Where it is the drive that failed; otherwise null.
const char* remedy_of_drive(int error_number) {
    switch (error_number) {
        case EIO:
        case ENODATA:
        case EREMOTEIO:
        case EBADMSG:
        case EUCLEAN:
            return "check the drive's health and the kernel log";
        case ENODEV:
        case ENXIO:
        case ENOLINK:
        case ENOMEDIUM:
        case ENOTCONN:
        case ESHUTDOWN:
        case ESTALE:
        case EHOSTDOWN:
        case EHOSTUNREACH:
            return "the drive is gone: reconnect it, or continue without it";
        case ETIMEDOUT:
            return "the drive doesn't answer: check its cabling and firmware";
        default:
            return nullptr;
    }
}

}  // namespace

std::string remedy_of(int error_number, const std::string& path) {
    if (const char* const remedy = remedy_of_drive(error_number)) return remedy;
    switch (error_number) {
        case EFBIG:
            return "raise the limit on the size of files (ulimit -f, LimitFSIZE= of a systemd "
                   "unit)";
        case ENOSPC:
            return make_room(path);
        case EDQUOT:
            return "raise the quota, or " + make_room(path);
        case ENOMEM:
            return "raise the limit on memory (ulimit -v, MemoryMax= of a systemd unit)";
        case EMFILE:
        case ENFILE:
            return "raise the limit on open files (ulimit -n, LimitNOFILE= of a systemd unit)";
        case EROFS:
            return fmt::format(
                "find in the kernel log why {} became read-only, and make it writable again "
                "(fsck, mount -o remount,rw, blockdev --setrw)",
                path);
        case EACCES:
        case EPERM:
            return fmt::format(
                "let this user write to {} (its permissions and its folder's, lsattr, blockdev "
                "--getro)",
                path);
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case ELOOP:
        case ENAMETOOLONG:
        case EEXIST:
            return "check this path: " + path;
        case EINVAL:
            return "its alignment may differ from what it reported when it was opened";
        default:
            return "check the kernel log";
    }
}

Errc open_failure(int error_number) {
    if (remedy_of_drive(error_number) != nullptr) return Errc::device_failed;
    switch (error_number) {
        case EBUSY:
            return Errc::busy;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
            return Errc::no_memory;
        default:
            return Errc::io_error;
    }
}

bool refused_by_system(int error_number) {
    switch (error_number) {
        case EFBIG:
        case ENOSPC:
        case EDQUOT:
        case ENOMEM:
        case EMFILE:
        case ENFILE:
        case EROFS:
        case EACCES:
        case EPERM:
            return true;
        default:
            return false;
    }
}

}  // namespace qlcshape
