// SPDX-License-Identifier: Apache-2.0
// Which devices `devices` reads.
#pragma once

#include <string>
#include <vector>

#include "qlcshape/error.h"

namespace qlcshape::tools {

struct Candidate {
    std::string path;
    bool block_device = false;
    bool named = false;   // by the user; a folder's files that belong to no array are not reported
    bool answers = true;  // false: not even what it is could be asked in time
};

// Paths: files and block devices, and folders, whose entries are taken. None: the block devices of
// /proc/partitions, and the files of the current folder. Each device once, under the first of its
// names. Errors: not_found, invalid_argument (neither a file, a block device nor a folder).
Result<std::vector<Candidate>> find_candidates(const std::vector<std::string>& paths);

}  // namespace qlcshape::tools
