// SPDX-License-Identifier: Apache-2.0
#include "device/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/process.h"
#include "device/remedy.h"

namespace qlcshape {

namespace {

constexpr int kDeadHolderTries = 500;
// An inspector that checks whether a process has the file locks it for a moment.
constexpr int kLiveHolderTries = 10;
constexpr int kUnknownHolderTries = 100;
constexpr useconds_t kDeadHolderNapUs = 10'000;

// A byte that no file has; an OFD lock, which ends with the open file as flock does.
constexpr off_t kLeftMark = INT64_MAX - 1;

struct flock left_mark(short type) {
    struct flock mark {};
    mark.l_type = type;
    mark.l_whence = SEEK_SET;
    mark.l_start = kLeftMark;
    mark.l_len = 1;
    return mark;
}

bool is_left_to_kernel(int fd) {
    struct flock mark = left_mark(F_WRLCK);
    return ::fcntl(fd, F_OFD_GETLK, &mark) == 0 && mark.l_type != F_UNLCK;
}

// The process that holds a flock on the file, by /proc/locks; 0 for one that has ended or just
// released it.
int lock_holder(int fd) {
    struct stat status {};
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> locks(std::fopen("/proc/locks", "re"),
                                                          &std::fclose);
    if (locks == nullptr || ::fstat(fd, &status) != 0) return 0;
    char line[256];
    while (std::fgets(line, sizeof(line), locks.get()) != nullptr) {
        int pid = 0;
        unsigned device_major = 0;
        unsigned device_minor = 0;
        unsigned long inode = 0;
        const int fields = std::sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &device_major,
                                       &device_minor, &inode);
        if (fields == 4 && inode == status.st_ino && device_major == major(status.st_dev) &&
            device_minor == minor(status.st_dev)) {
            return pid;
        }
    }
    return 0;
}

// The kernel takes a moment to close the files of a process that was killed with I/O in flight: its
// locks outlive it. No process: /proc/locks shows an owner that has ended so.
bool is_gone(int pid) { return pid <= 0 || has_ended(pid); }

int try_lock(int fd, int kind) {
    int failed;
    do {
        failed = ::flock(fd, kind | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    return failed;
}

}  // namespace

void mark_left_to_kernel(int fd) {
    struct flock mark = left_mark(F_RDLCK);
    ::fcntl(fd, F_OFD_SETLK, &mark);
}

Status lock_file(int fd, const std::string& path, Access access) {
    if (access == Access::inspect) return {};
    const int kind = access == Access::read_write ? LOCK_EX : LOCK_SH;
    int failed = try_lock(fd, kind);
    int alive = 0;
    int holder = 0;
    for (int i = 0; failed != 0 && errno == EWOULDBLOCK && i < kDeadHolderTries; ++i) {
        holder = lock_holder(fd);
        if (!is_gone(holder) && ++alive == kLiveHolderTries) {
            errno = EWOULDBLOCK;
            break;
        }
        ::usleep(kDeadHolderNapUs);
        failed = try_lock(fd, kind);
    }
    if (failed == 0) return {};
    if (errno != EWOULDBLOCK) {
        return fail(open_failure(errno),
                    "{}: can't be locked: {}; does its file system support locks?", path,
                    std::strerror(errno));
    }
    if (alive == 0 && is_left_to_kernel(fd)) {
        return fail(Errc::device_failed,
                    "{}: still has a transfer of process {}, which has ended: the kernel keeps it "
                    "locked until the drive answers, or is removed",
                    path, holder);
    }
    if (alive == 0) {
        return fail(Errc::busy,
                    "{}: locked by {}: another one may have its lock, or a drive transfers of it; "
                    "close it there, or try again when the drive answers",
                    path,
                    holder > 0 ? fmt::format("process {}, which has ended", holder)
                               : "a process that has ended, or one of another container");
    }
    return fail(Errc::busy, "{}: in use by {}; close it there first", path,
                describe_process(lock_holder(fd)));
}

// A holder without a process may be one that has just been killed, which releases it soon, one in
// another container, which /proc/locks does not show, or one that left its lock to another process
// with the descriptor, as a command leaves it to the script that called it.
bool is_locked_for_writing(int fd) {
    for (int i = 0; i < kUnknownHolderTries; ++i) {
        if (try_lock(fd, LOCK_SH) == 0) {
            ::flock(fd, LOCK_UN);
            return false;
        }
        const int holder = lock_holder(fd);
        if (!is_gone(holder)) return true;
        if (is_left_to_kernel(fd)) return false;
        ::usleep(kDeadHolderNapUs);
    }
    return true;
}

}  // namespace qlcshape
