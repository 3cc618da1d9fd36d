// SPDX-License-Identifier: Apache-2.0
#include "tools/serve_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thread>

#include "base/error.h"

namespace qlcshape::tools {

namespace {

constexpr int kBacklog = 128;
constexpr int kTries = 20;

std::string percent_encoded(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || std::strchr("/-._~", c) != nullptr)
            encoded += c;
        else
            encoded += fmt::format("%{:02X}", byte);
    }
    return encoded;
}

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return fail(Errc::invalid_argument,
                    "--socket {}: a socket's path has at most {} characters; choose a shorter one",
                    path, sizeof(address.sun_path) - 1);
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

bool somebody_listens(const sockaddr_un& address) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool refused =
        ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
        errno == ECONNREFUSED;
    ::close(fd);
    return !refused;
}

// Makes way for a new socket at `path`. A server that was killed holds its socket until its last
// thread is gone, so this retries a few times.
Status clear(const std::string& path, const sockaddr_un& address) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return {};
    if (!S_ISSOCK(found.st_mode)) {
        return fail(Errc::exists,
                    "--socket {}: a file that is not a socket is there; choose another path", path);
    }
    for (int tries = 1; somebody_listens(address); ++tries) {
        if (tries == kTries) {
            return fail(Errc::exists,
                        "--socket {}: another server listens there; stop it, or choose another "
                        "path",
                        path);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    ::unlink(path.c_str());
    return {};
}

}  // namespace

std::string ServeSocket::uri(const std::string& volume) const {
    if (volume.empty() && query.empty()) return address;
    return fmt::format("{}/{}{}", address, volume, query);  // a name needs no encoding
}

Result<ServeSocket> listen_on_path(const std::string& path, const std::string& psk_file) {
    const std::string absolute = std::filesystem::absolute(path).string();
    const auto address = address_of(absolute);
    if (!address) return std::unexpected(address.error());
    if (const Status cleared = clear(absolute, *address); !cleared)
        return std::unexpected(cleared.error());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const mode_t before = ::umask(0177);
    const bool good =
        fd >= 0 &&
        ::bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0 &&
        ::listen(fd, kBacklog) == 0;
    const int why = errno;
    ::umask(before);
    if (!good) {
        ::close(fd);
        return fail(Errc::invalid_argument,
                    "--socket {}: {}; choose a path in a folder that you can write", absolute,
                    std::strerror(why));
    }
    const std::string psk = psk_file.empty() ? "" : "&tls-psk-file=" + percent_encoded(psk_file);
    return ServeSocket{fd, fmt::format("nbd{}+unix://", psk.empty() ? "" : "s"),
                       fmt::format("?socket={}{}", percent_encoded(absolute), psk)};
}

Result<ServeSocket> listen_on_port(std::uint16_t port, const std::string& psk_file) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(fd, kBacklog) != 0) {
        const int why = errno;
        ::close(fd);
        return fail(Errc::invalid_argument, "--port {}: {}; choose another port", port,
                    std::strerror(why));
    }
    const std::string psk = psk_file.empty() ? "" : "?tls-psk-file=" + percent_encoded(psk_file);
    return ServeSocket{fd, fmt::format("nbd{}://127.0.0.1:{}", psk.empty() ? "" : "s", port), psk};
}

Result<int> connect_to(const ServeSocket& socket) {
    sockaddr_storage address{};
    socklen_t bytes = sizeof(address);
    ::getsockname(socket.fd, reinterpret_cast<sockaddr*>(&address), &bytes);
    const int fd = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), bytes) != 0) {
        const int why = errno;
        ::close(fd);
        return fail(Errc::io_error, "{}: {}", socket.uri(), std::strerror(why));
    }
    return fd;
}

int read_greeting(int fd) {
    // "NBDMAGIC", "IHAVEOPT", 16 bits of flags, in the protocol's fixed newstyle handshake.
    std::array<char, 18> greeting{};
    const ssize_t got = ::recv(fd, greeting.data(), greeting.size(), MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got <= 0) return -1;
    if (static_cast<std::size_t>(got) < greeting.size()) return 0;
    if (std::memcmp(greeting.data(), "NBDMAGICIHAVEOPT", 16) != 0) return -1;
    // Client flags, then the option "abort" without data.
    constexpr std::string_view kLeave("\0\0\0\1IHAVEOPT\0\0\0\2\0\0\0\0", 20);
    static_cast<void>(::send(fd, kLeave.data(), kLeave.size(), MSG_NOSIGNAL));
    return 1;
}

void notify_systemd() {
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (path == nullptr) return;
    auto address = address_of(path);
    if (!address) return;
    if (path[0] == '@') address->sun_path[0] = 0;  // an abstract name
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    constexpr std::string_view kReady = "READY=1";
    static_cast<void>(::sendto(fd, kReady.data(), kReady.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&*address), bytes));
    ::close(fd);
}

}  // namespace qlcshape::tools
