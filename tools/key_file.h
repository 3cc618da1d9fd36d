// SPDX-License-Identifier: Apache-2.0
// The pre-shared keys of TLS. nbdkit opens their file when a client connects, not before, so a
// wrong one would let a server start that takes no client.
#pragma once

#include <string>

#include "qlcshape/error.h"

namespace qlcshape::tools {

// Refuses what nbdkit could not use: a file that can't be read, or isn't one with a line NAME:HEX
// for each client. Says so on stderr if all users may read or change it.
Status check_key_file(const std::string& path);

}  // namespace qlcshape::tools
