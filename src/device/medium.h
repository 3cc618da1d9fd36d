// SPDX-License-Identifier: Apache-2.0
// Which medium a path leads to: a file, a block device, a memory device of this process. Two paths
// to one medium (links, bind mounts, device nodes, a file and a loop device of all of it) give one
// name, copies of it another.
#pragma once

#include <string>

struct stat;

namespace qlcshape {

// Empty: nothing exists there, it is not a device, or its file system does not answer. Nothing of
// it is opened.
std::string medium_of(const std::string& path);
std::string medium_of(const struct stat& status);

}  // namespace qlcshape
