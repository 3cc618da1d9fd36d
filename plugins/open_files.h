// SPDX-License-Identifier: Apache-2.0
// The limit on open files. Where nbdkit has none left for a client it tries again at once, logs
// that each time, and answers nobody: so a server starts only if it has room for some clients.
#pragma once

#include <cstddef>

#include "base/error.h"

namespace qlcshape {

// A drive has its file and its control socket, at least.
inline constexpr std::size_t kFilesOfDrive = 2;
// For four clients, of which each has a connection and a pipe, and for what is opened for a moment.
inline constexpr std::size_t kFilesOfClients = 4 * 3 + 4;

// Raises the soft limit to the hard one.
void allow_most_files();

// Refuses if not all files of so many drives, which are not open yet, and of four clients can be
// opened now.
Status check_open_files(std::size_t drives);

}  // namespace qlcshape
