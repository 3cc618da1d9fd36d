// SPDX-License-Identifier: Apache-2.0
// The socket that `serve` listens on and hands to nbdkit, and the URI by which clients find it.
#pragma once

#include <cstdint>
#include <string>

#include "qlcshape/error.h"

namespace qlcshape::tools {

struct ServeSocket {
    int fd = -1;
    std::string address;  // a URI up to the path
    std::string query;    // and after it
    // Of the volume; of the server's default without a name.
    std::string uri(const std::string& volume = "") const;
};

// A Unix socket that only its owner can connect to (mode 0600). The file that a killed server left
// behind is replaced; one on which a process listens, or a file that is not a socket, is an error.
Result<ServeSocket> listen_on_path(const std::string& path, const std::string& psk_file);

// On the loopback interface only.
Result<ServeSocket> listen_on_port(std::uint16_t port, const std::string& psk_file);

// A connection to the server behind the socket. It can be read from when the server answers.
Result<int> connect_to(const ServeSocket& socket);

// What has arrived on that connection: 1: the server's greeting; 0: not all of it yet; -1: the
// server is gone. After a greeting it disconnects.
int read_greeting(int fd);

// Tells systemd, if it started this process as a service of type notify, that I/O works.
void notify_systemd();

}  // namespace qlcshape::tools
