#include "engine/control_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <thread>

namespace qlcshape {

namespace {

constexpr int kBacklog = 16;
constexpr int kConnectSeconds = 5;
constexpr int kTries = 100;
constexpr std::chrono::milliseconds kBetweenTries(10);

struct Address {
    sockaddr_un name{};
    socklen_t bytes = 0;

    explicit Address(const std::string& array_uuid) {
        const std::string path = "qlcshape/" + array_uuid;
        name.sun_family = AF_UNIX;
        std::memcpy(name.sun_path + 1, path.data(), path.size());  // a zero first: abstract
        bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
    }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

Socket new_socket() { return Socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

}  // namespace

Socket::~Socket() {
    if (fd_ >= 0) ::close(fd_);
}

bool Socket::same_user() const {
    ucred peer{};
    socklen_t bytes = sizeof(peer);
    return ::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
           peer.uid == ::geteuid();
}

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
        if (n < 0) return fail(Errc::io_error, "{}", std::strerror(errno));
        text.append(part.data(), static_cast<std::size_t>(n));
        if (text.size() > most) return fail(Errc::io_error, "more than {} bytes came", most);
    }
}

Result<Socket> listen_at(const std::string& array_uuid) {
    Socket socket = new_socket();
    const Address address(array_uuid);
    // Who had the array open before may be gone, and its socket not yet.
    for (int tries = 1; ::bind(socket.fd(), address.get(), address.bytes) != 0; ++tries) {
        if (errno != EADDRINUSE || tries == kTries) {
            return fail(Errc::io_error, "bind of a Unix socket: {}", std::strerror(errno));
        }
        std::this_thread::sleep_for(kBetweenTries);
    }
    if (::listen(socket.fd(), kBacklog) == 0) return socket;
    return fail(Errc::io_error, "listen on a Unix socket: {}", std::strerror(errno));
}

Result<Socket> connect_to(const std::string& array_uuid) {
    Socket socket = new_socket();
    socket.set_timeout(kConnectSeconds);  // who hangs accepts nobody
    const Address address(array_uuid);
    if (::connect(socket.fd(), address.get(), address.bytes) == 0 && socket.same_user()) {
        return socket;
    }
    return fail(Errc::not_found, "no process of this user has the array open");
}

}  // namespace qlcshape
