// SPDX-License-Identifier: Apache-2.0
#include "admin/control_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <thread>

#include "base/process.h"

namespace qlcshape {

namespace {

constexpr int kBacklog = 16;
constexpr int kConnectSeconds = 5;
constexpr int kTries = 100;
constexpr std::chrono::milliseconds kBetweenTries(10);

struct Address {
    sockaddr_un name{};
    socklen_t bytes = 0;

    explicit Address(const std::string& medium) {
        const std::string path = "qlcshape/" + medium;
        name.sun_family = AF_UNIX;
        std::memcpy(name.sun_path + 1, path.data(), path.size());  // a zero first: abstract
        bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
    }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

Socket new_socket(int flags = 0) {
    return Socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

Error no_socket() {
    const bool limit = errno == EMFILE || errno == ENFILE;
    return {Errc::io_error,
            fmt::format("a Unix socket: {}{}", std::strerror(errno),
                        limit ? "; raise the limit on open files (ulimit -n)" : "")};
}

ucred peer_of(int fd) {
    ucred peer{0, static_cast<uid_t>(-1), 0};
    socklen_t bytes = sizeof(peer);
    ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
    return peer;
}

}  // namespace

std::optional<std::uint64_t> parse_number(const std::string& text) {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, failed] = std::from_chars(text.data(), end, number);
    return failed == std::errc{} && rest == end ? std::optional(number) : std::nullopt;
}

Socket::~Socket() {
    if (fd_ >= 0) ::close(fd_);
}

bool Socket::same_user() const { return peer_of(fd_).uid == ::geteuid(); }

pid_t Socket::peer() const { return peer_of(fd_).pid; }

void Socket::set_timeout(int seconds) const {
    const timeval time{seconds, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

bool Socket::peer_is_gone() const {
    pollfd polled{fd_, 0, 0};
    return ::poll(&polled, 1, 0) == 1 && (polled.revents & POLLHUP) != 0;
}

void Socket::end() const { ::shutdown(fd_, SHUT_RDWR); }

bool Socket::send(const std::string& text) const {
    for (std::size_t sent = 0; sent != text.size();) {
        const ssize_t n = ::send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) sent += static_cast<std::size_t>(n);
    }
    return ::shutdown(fd_, SHUT_WR) == 0;
}

Result<std::string> Socket::receive(std::size_t most) const {
    std::string text;
    std::array<char, 4096> part{};
    for (;;) {
        const ssize_t n = ::recv(fd_, part.data(), part.size(), 0);
        if (n == 0) return text;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const bool late = errno == EAGAIN && text.empty();
            return fail(late ? Errc::busy : Errc::io_error, "{}", std::strerror(errno));
        }
        text.append(part.data(), static_cast<std::size_t>(n));
        if (text.size() > most) return fail(Errc::io_error, "received more than {} bytes", most);
    }
}

Result<Socket> listen_at(const std::string& medium) {
    Socket socket = new_socket(SOCK_NONBLOCK);
    if (socket.fd() < 0) return fail(no_socket());
    const Address address(medium);
    // Who had the array open before may be gone, and its socket not yet: the kernel closes the
    // files of a process one after the other, and those of the drives may come first.
    for (int tries = 1; ::bind(socket.fd(), address.get(), address.bytes) != 0; ++tries) {
        if (errno != EADDRINUSE || tries == kTries) {
            return fail(Errc::io_error, "bind of a Unix socket: {}", std::strerror(errno));
        }
        std::this_thread::sleep_for(kBetweenTries);
    }
    if (::listen(socket.fd(), kBacklog) == 0) return socket;
    return fail(Errc::io_error, "listen on a Unix socket: {}", std::strerror(errno));
}

Result<Socket> connect_to(const std::string& medium) {
    Socket socket = new_socket();
    if (socket.fd() < 0) return fail(no_socket());
    socket.set_timeout(kConnectSeconds);  // who hangs accepts nobody
    const Address address(medium);
    if (::connect(socket.fd(), address.get(), address.bytes) != 0)
        return fail(Errc::not_found, "no process of this user has the array open");
    if (socket.same_user()) return socket;
    return fail(
        Errc::not_found,
        "{} has the array open, and answers only its own user: run the command as that user",
        describe_process(socket.peer()));
}

}  // namespace qlcshape
