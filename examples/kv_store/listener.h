// SPDX-License-Identifier: Apache-2.0
// Sockets to listen on: a Unix socket's path, or a port of the loopback interface.
#pragma once

#include <qlcshape/error.h>

#include <cstdint>
#include <string>

namespace kv_store {

// A socket that a killed server left behind is replaced, one that is in use is not.
qlcshape::Result<int> listen_on_path(const std::string& path);
qlcshape::Result<int> listen_on_port(std::uint16_t port);

}  // namespace kv_store
