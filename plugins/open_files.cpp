// SPDX-License-Identifier: Apache-2.0
#include "open_files.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace qlcshape {

void allow_most_files() {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
}

Status check_open_files(std::size_t more) {
    std::vector<int> opened;
    opened.reserve(more);
    int cause = 0;
    while (opened.size() < more && cause == 0) {
        const int fd = ::eventfd(0, EFD_CLOEXEC);
        if (fd >= 0)
            opened.push_back(fd);
        else
            cause = errno;
    }
    for (const int fd : opened) ::close(fd);
    if (cause == 0) return {};
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    // An engine that had to do without rings for lack of files takes more the next time.
    const rlim_t enough = std::max<rlim_t>(1024, 2 * (files.rlim_cur + more));
    return fail(
        Errc::no_memory,
        "the limit on open files is {}, and {} more can be opened of {} that are needed for "
        "the drives and at least four clients ({}); raise it to {} (ulimit -Hn, "
        "LimitNOFILE= of a systemd unit)",
        files.rlim_cur, opened.size(), more, std::strerror(cause), enough);
}

}  // namespace qlcshape
