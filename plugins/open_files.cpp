// SPDX-License-Identifier: Apache-2.0
#include "open_files.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/spare_files.h"

namespace qlcshape {

namespace {

// A drive has its file and its control socket, at least.
constexpr std::size_t kFilesOfDrive = 2;

// Of four clients, of which each has a connection and a pipe, and what is kept back.
std::size_t files_of_clients() { return 4 * 3 + 1 + std::size_t{spare_files()}; }

}  // namespace

void allow_most_files() {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
}

Status check_open_files(std::size_t drives) {
    const std::size_t of_drives = drives * kFilesOfDrive;
    const std::size_t of_clients = files_of_clients();
    const std::size_t needed = of_drives + of_clients;
    std::vector<int> opened;
    opened.reserve(needed);
    int cause = 0;
    while (opened.size() < needed && cause == 0) {
        const int fd = ::eventfd(0, EFD_CLOEXEC);
        if (fd >= 0)
            opened.push_back(fd);
        else
            cause = errno;
    }
    for (const int fd : opened) ::close(fd);
    if (cause == 0) return {};
    const std::string purpose =
        drives == 0 ? "four clients and a reserve"
                    : fmt::format("{} drives ({}) and four clients with a reserve ({})", drives,
                                  of_drives, of_clients);
    if (cause != EMFILE) {
        return fail(Errc::no_memory,
                    "{} more files can be opened of {} that are needed at least for {}: {}",
                    opened.size(), needed, purpose, std::strerror(cause));
    }
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    // An engine that had to do without rings for lack of files takes more the next time.
    const rlim_t enough = std::max<rlim_t>(1024, 2 * (files.rlim_cur + needed));
    return fail(Errc::no_memory,
                "the limit on open files is {}: {} are open, and {} more can be, but at least {} "
                "more are needed for {}; raise it to {} (ulimit -Hn, LimitNOFILE= of a systemd "
                "unit)",
                files.rlim_cur, files.rlim_cur - opened.size(), opened.size(), needed, purpose,
                enough);
}

Status check_room_for_client() {
    if (can_open_files(spare_files())) return {};
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    return fail(Errc::no_memory,
                "a client is sent away, since the limit on open files is {}; raise it (ulimit -Hn, "
                "LimitNOFILE= of a systemd unit)",
                files.rlim_cur);
}

}  // namespace qlcshape
