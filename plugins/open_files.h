// SPDX-License-Identifier: Apache-2.0
// The limit on open files. Where nbdkit has none left for a client it tries again at once, logs
// that each time, and answers nobody: so a server starts only if it has room for some clients, and
// sends a client away while it still has some left.
#pragma once

#include <cstddef>

#include "base/error.h"

namespace qlcshape {

// Raises the soft limit to the hard one.
void allow_most_files();

// Refuses if not all files of so many drives, which are not open yet, and of four clients can be
// opened now.
Status check_open_files(std::size_t drives);

// Refuses if there is no room for a client that has come.
Status check_room_for_client();

}  // namespace qlcshape
