// SPDX-License-Identifier: Apache-2.0
#include "device/slow_io.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "base/size_text.h"
#include "device/remedy.h"

namespace qlcshape {

namespace {

std::string locked_memory() {
    rlimit locked{};
    if (::getrlimit(RLIMIT_MEMLOCK, &locked) != 0 || locked.rlim_cur == RLIM_INFINITY)
        return "the system gives no more memory";
    return fmt::format(
        "this process may lock {} of memory (RLIMIT_MEMLOCK); raise that (ulimit -l, "
        "LimitMEMLOCK= of a systemd unit)",
        size_text(std::uint64_t{locked.rlim_cur}));
}

std::string cause_of(int error_number) {
    switch (error_number) {
        case EPERM:
        case EACCES:
            return "it is forbidden (EPERM); allow io_uring_setup, io_uring_enter and "
                   "io_uring_register in the system call filter (a container's seccomp profile, "
                   "SystemCallFilter= of a systemd unit), and set the sysctl "
                   "kernel.io_uring_disabled to 0";
        case ENOSYS:
            return "this kernel has none, or a system call filter hides it (ENOSYS); use a kernel "
                   "with CONFIG_IO_URING, and allow io_uring_setup, io_uring_enter and "
                   "io_uring_register in the filter";
        case EOPNOTSUPP:
            return "this kernel's is too old; use Linux 5.11 or later";
        case ENOMEM:
            return locked_memory();
        case EMFILE:
        case ENFILE:
            return "there are no more file descriptors; " + remedy_of(error_number, "");
        default:
            return std::strerror(error_number);
    }
}

}  // namespace

std::string describe(SlowIo what, int error_number) {
    switch (what) {
        case SlowIo::no_ring:
            return "transfers are made by blocking calls, several times slower, since io_uring "
                   "can't be used: " +
                   cause_of(error_number);
        case SlowIo::no_kernel_threads:
            return "some transfers are made by blocking calls, since the kernel can't start its "
                   "threads for io_uring; raise the limit on threads (ulimit -u, TasksMax= of a "
                   "systemd unit, a container's pids limit)";
        case SlowIo::no_buffers:
            return "memory for transfers isn't registered with io_uring, which costs CPU time: " +
                   cause_of(error_number);
        case SlowIo::count:
            break;
    }
    return "";
}

}  // namespace qlcshape
