// SPDX-License-Identifier: Apache-2.0
#include "farewell.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <system_error>

namespace qlcshape {

namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
constexpr int kAgainMs = 1000;  // for who connected last

int event = -1;
struct sigaction nbdkits[std::size(kSignals)];

void ring() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof(one));
}

void on_signal(int signal, siginfo_t* info, void* context) {
    const int saved = errno;
    ring();
    errno = saved;
    for (std::size_t i = 0; i < std::size(kSignals); ++i) {
        const struct sigaction& next = nbdkits[i];
        if (kSignals[i] != signal) continue;
        if ((next.sa_flags & SA_SIGINFO) != 0)
            next.sa_sigaction(signal, info, context);
        else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN)
            next.sa_handler(signal);
    }
}

bool has_handler(const struct sigaction& action) {
    return (action.sa_flags & SA_SIGINFO) != 0 ||
           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

bool waited(int timeout_ms) {
    pollfd polled{event, POLLIN, 0};
    std::uint64_t rung = 0;
    return ::poll(&polled, 1, timeout_ms) == 1 && ::read(event, &rung, sizeof(rung)) > 0;
}

std::string local_address(int fd) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
    return {reinterpret_cast<const char*>(&address), length};
}

bool listens(int fd) {
    int yes = 0;
    socklen_t length = sizeof(yes);
    return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &length) == 0 && yes != 0;
}

void for_each_fd(const std::function<void(int)>& see) {
    std::error_code failed;
    for (std::filesystem::directory_iterator it("/proc/self/fd", failed), end; !failed && it != end;
         it.increment(failed)) {
        const std::string name = it->path().filename();
        int fd = -1;
        std::from_chars(name.data(), name.data() + name.size(), fd);
        if (fd >= 0) see(fd);
    }
}

}  // namespace

Farewell::Farewell(std::function<bool()> stopped, std::chrono::milliseconds patience)
    : stopped_(std::move(stopped)), patience_(patience) {
    for_each_fd([this](int fd) {
        if (listens(fd)) listening_.push_back(local_address(fd));
    });
    event = ::eventfd(0, EFD_CLOEXEC);
    if (event < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    thread_ = std::thread([this] { run(); });
    for (std::size_t i = 0; i < std::size(kSignals); ++i) {
        ::sigaction(kSignals[i], nullptr, &nbdkits[i]);
        if (!has_handler(nbdkits[i])) continue;
        struct sigaction ours = nbdkits[i];
        ours.sa_flags |= SA_SIGINFO;
        ours.sa_sigaction = on_signal;
        ::sigaction(kSignals[i], &ours, nullptr);
    }
}

Farewell::~Farewell() {
    for (std::size_t i = 0; i < std::size(kSignals); ++i)
        ::sigaction(kSignals[i], &nbdkits[i], nullptr);
    ended_ = true;
    ring();
    thread_.join();
    ::close(event);
    event = -1;
}

void Farewell::run() {
    while (!ended_ && !waited(-1)) {
    }
    for (int timeout_ms = kGraceMs; !ended_; timeout_ms = kAgainMs) {
        // A second signal shortens nothing.
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
        for (auto now = std::chrono::steady_clock::now(); !ended_ && now < until;
             now = std::chrono::steady_clock::now()) {
            waited(static_cast<int>(
                std::chrono::ceil<std::chrono::milliseconds>(until - now).count()));
        }
        if (ended_) return;
        disconnect();
        end_if_held();
    }
}

// Called each second. All that was acknowledged is safe, and the next opening recovers.
void Farewell::end_if_held() {
    if (!stopped_()) return;
    patience_ -= std::chrono::milliseconds(kAgainMs);
    if (patience_.count() > 0) return;
    std::fputs(
        "qlcshape: a client's request is held inside the kernel, by a drive that does not "
        "answer; the process ends without closing the array\n",
        stderr);
    std::_Exit(EXIT_FAILURE);
}

// What a client sent before is still carried out.
void Farewell::disconnect() const {
    for_each_fd([this](int fd) {
        if (listens(fd)) return;
        const std::string address = local_address(fd);
        for (const std::string& served : listening_) {
            if (!address.empty() && address == served) ::shutdown(fd, SHUT_RDWR);
        }
    });
}

}  // namespace qlcshape
