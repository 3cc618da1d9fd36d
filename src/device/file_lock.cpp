// SPDX-License-Identifier: Apache-2.0
#include "device/file_lock.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/process.h"
#include "device/remedy.h"

namespace qlcshape {

namespace {

namespace fs = std::filesystem;

constexpr int kDeadHolderTries = 500;
// An inspector that checks whether a process has the file locks it for a moment.
constexpr int kLiveHolderTries = 10;
constexpr int kUnknownHolderTries = 100;
constexpr useconds_t kDeadHolderNapUs = 10'000;

// The process that took a flock on the file, by /proc/locks or a descriptor's fdinfo; 0 for one
// that can't be seen, nothing for no flock.
std::optional<int> lock_in(const std::string& path, const struct stat& file) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> locks(std::fopen(path.c_str(), "re"),
                                                          &std::fclose);
    if (locks == nullptr) return std::nullopt;
    char line[256];
    while (std::fgets(line, sizeof(line), locks.get()) != nullptr) {
        const char* text = std::strncmp(line, "lock:", 5) == 0 ? line + 5 : line;
        int pid = 0;
        unsigned device_major = 0;
        unsigned device_minor = 0;
        unsigned long inode = 0;
        const int fields = std::sscanf(text, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &device_major,
                                       &device_minor, &inode);
        if (fields == 4 && inode == file.st_ino && device_major == major(file.st_dev) &&
            device_minor == minor(file.st_dev)) {
            return pid;
        }
    }
    return std::nullopt;
}

// 0 for one that has ended or just released it.
int lock_holder(int fd) {
    struct stat file {};
    return ::fstat(fd, &file) == 0 ? lock_in("/proc/locks", file).value_or(0) : 0;
}

std::vector<fs::path> entries_of(const fs::path& folder, std::error_code& failed) {
    std::vector<fs::path> found;
    for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
         entry.increment(failed)) {
        found.push_back(entry->path());
    }
    return found;
}

// A process that has ended may have left its lock to another, with the descriptor: a shell to the
// script that called it, a daemon to its child. Who has it now: 0 for nobody, so that the kernel
// alone keeps it, nothing where not all processes can be looked into.
std::optional<int> lock_heir(int fd) {
    struct stat file {};
    std::error_code failed;
    const std::vector<fs::path> processes = entries_of("/proc", failed);
    if (failed || ::fstat(fd, &file) != 0) return std::nullopt;
    bool all_seen = true;
    for (const fs::path& process : processes) {
        const int pid = std::atoi(process.filename().c_str());
        if (pid <= 0 || is_kernel_thread(pid)) continue;
        // Of a zombie other threads may go on; and threads may have descriptors of their own.
        for (const fs::path& thread : entries_of(process / "task", failed)) {
            for (const fs::path& open : entries_of(thread / "fdinfo", failed)) {
                if (lock_in(open.string(), file)) return pid;
            }
            all_seen = all_seen && failed != std::errc::permission_denied;
        }
    }
    return all_seen ? std::optional(0) : std::nullopt;
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
    if (holder > 0 && is_gone(holder)) {
        const std::optional<int> heir = lock_heir(fd);
        if (!heir) {
            return fail(Errc::busy,
                        "{}: locked by process {}, which has ended: either another process has its "
                        "lock, or the kernel, for a transfer that a drive keeps; only root can "
                        "tell: run this as root, or try again when the drive answers",
                        path, holder);
        }
        if (*heir != 0) {
            return fail(Errc::busy,
                        "{}: in use by {}, which has the lock that process {} took; close it there "
                        "first",
                        path, describe_process(*heir), holder);
        }
        return fail(Errc::device_failed,
                    "{}: locked by process {}, which has ended: the kernel keeps what it had open "
                    "until a drive that has a transfer of it answers, or is removed",
                    path, holder);
    }
    if (alive == 0) {
        return fail(Errc::busy,
                    "{}: locked by a process that has ended, or by one of another container: "
                    "transfers of it that a drive keeps hold the lock until they end; try again "
                    "when the drive answers",
                    path);
    }
    return fail(Errc::busy, "{}: in use by {}; close it there first", path,
                describe_process(lock_holder(fd)));
}

// A holder without a process may be one that has just been killed, or one in another container,
// which /proc/locks does not show: the first releases it soon.
bool is_locked_for_writing(int fd) {
    for (int i = 0; i < kUnknownHolderTries; ++i) {
        if (try_lock(fd, LOCK_SH) == 0) {
            ::flock(fd, LOCK_UN);
            return false;
        }
        const int holder = lock_holder(fd);
        if (holder > 0) return !is_gone(holder) || lock_heir(fd) != 0;
        ::usleep(kDeadHolderNapUs);
    }
    return true;
}

}  // namespace qlcshape
