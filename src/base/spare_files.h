// SPDX-License-Identifier: Apache-2.0
// How near this process is to its limit on open files.
#pragma once

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace qlcshape {

// So many are kept back from clients, since many may come before the first is sent away: a quarter
// of the limit. Any thread.
inline std::uint32_t spare_files() {
    constexpr rlim_t kLeast = 16, kMost = 256;
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return kLeast;
    return static_cast<std::uint32_t>(std::clamp(files.rlim_cur / 4, kLeast, kMost));
}

// Whether another file can be opened, and then `more` of them: the kernel gives the lowest number
// that is free. Any thread.
inline bool can_open_files(std::uint32_t more) {
    const int fd = ::eventfd(0, EFD_CLOEXEC);
    if (fd < 0) return false;
    ::close(fd);
    rlimit files{};
    return ::getrlimit(RLIMIT_NOFILE, &files) != 0 ||
           static_cast<rlim_t>(fd) + more < files.rlim_cur;
}

}  // namespace qlcshape
