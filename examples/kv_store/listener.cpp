// SPDX-License-Identifier: Apache-2.0
#include "kv_store/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace kv_store {

using qlcshape::Errc;
using qlcshape::Error;
using qlcshape::Result;
using qlcshape::Status;

namespace {

template <class Address>
const sockaddr* generic(const Address& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

std::unexpected<Error> refused(int fd, const std::string& where) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) close(fd);
    return std::unexpected(Error{Errc::io_error, "can't listen on " + where + ": " + why});
}

template <class Address>
Result<int> listen_on(int family, const Address& address, const std::string& where) {
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return refused(fd, where);
    const int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, generic(address), sizeof(address)) != 0) return refused(fd, where);
    if (listen(fd, SOMAXCONN) != 0) return refused(fd, where);
    return fd;
}

bool someone_listens(const sockaddr_un& address) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return true;
    const bool refused =
        connect(fd, generic(address), sizeof(address)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return !refused;
}

// Removes a socket that a killed server left behind, and nothing else: connecting to a file that is
// no socket is refused in the same way.
Status make_way(const std::string& path, const sockaddr_un& address) {
    struct stat found {};
    if (lstat(path.c_str(), &found) != 0) return {};
    if (!S_ISSOCK(found.st_mode)) {
        return std::unexpected(
            Error{Errc::exists, path + " is a file that is not a socket; give another path"});
    }
    if (someone_listens(address)) {
        return std::unexpected(
            Error{Errc::exists, path + " is in use by another server; give another path"});
    }
    unlink(path.c_str());
    return {};
}

}  // namespace

Result<int> listen_on_path(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return std::unexpected(
            Error{Errc::invalid_argument, "a socket's path has 1 to 107 bytes, \"" + path +
                                              "\" has " + std::to_string(path.size())});
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    if (Status way = make_way(path, address); !way) return std::unexpected(way.error());
    return listen_on(AF_UNIX, address, path);
}

Result<int> listen_on_port(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return listen_on(AF_INET, address, "port " + std::to_string(port));
}

}  // namespace kv_store
