// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fmt/format.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

namespace qlcshape {

namespace {

std::string name_of(const std::string& folder) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
        std::fopen((folder + "/comm").c_str(), "re"), &std::fclose);
    std::array<char, 64> name{};
    if (file == nullptr || std::fgets(name.data(), name.size(), file.get()) == nullptr) return "";
    std::string text = name.data();
    while (text.ends_with('\n')) text.pop_back();
    return text;
}

std::optional<std::string> network_of(const std::string& folder) {
    std::array<char, PATH_MAX> link{};
    const ssize_t n = ::readlink((folder + "/ns/net").c_str(), link.data(), link.size());
    if (n < 0) return std::nullopt;  // of another user's process
    return std::string(link.data(), static_cast<std::size_t>(n));
}

}  // namespace

bool has_ended(pid_t pid) {
    if (::kill(pid, 0) != 0) return errno == ESRCH;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stat(
        std::fopen(fmt::format("/proc/{}/stat", pid).c_str(), "re"), &std::fclose);
    std::array<char, 512> line{};
    if (stat == nullptr || std::fgets(line.data(), line.size(), stat.get()) == nullptr)
        return false;
    // The kernel's PF_EXITING, and PF_POSTCOREDUMP, which a thread has before the kernel waits for
    // what is left of its transfers.
    constexpr unsigned kExiting = 4 | 8;
    char state = 0;
    unsigned flags = 0;
    const char* const name_end = std::strrchr(line.data(), ')');  // a name may have one, too
    return name_end != nullptr &&
           std::sscanf(name_end, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2 &&
           (state == 'Z' || (flags & kExiting) != 0);
}

std::string describe_process(pid_t pid) {
    if (pid == ::getpid()) return "this process";
    if (pid <= 0) return "a process that can't be seen from here (in another container?)";
    const std::string folder = fmt::format("/proc/{}", pid);
    std::string text = fmt::format("process {}", pid);
    if (const std::string name = name_of(folder); !name.empty()) text += " (" + name + ")";
    struct stat status {};
    if (::stat(folder.c_str(), &status) == 0 && status.st_uid != ::geteuid())
        text += fmt::format(" of user {}", status.st_uid);
    const auto network = network_of(folder);
    if (network && network != network_of("/proc/self")) text += " in another network namespace";
    return text;
}

}  // namespace qlcshape
