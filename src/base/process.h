// SPDX-License-Identifier: Apache-2.0
// Another process: whether it exists, and its description, for messages that say who holds what.
#pragma once

#include <sys/types.h>

#include <string>

namespace qlcshape {

// Also while the kernel still has something of it, since a transfer of it has not ended.
bool has_ended(pid_t pid);

// "this process", "process 123 (nbdkit)", with the user and the network namespace where they differ
// from this process's. `pid` 0: one that can't be seen from here.
std::string describe_process(pid_t pid);

}  // namespace qlcshape
