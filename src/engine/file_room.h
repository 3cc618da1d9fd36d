// SPDX-License-Identifier: Apache-2.0
// Whether files that are drives can grow to their full size. They are made sparse: what was never
// written takes no space, and is not reserved either.
#pragma once

#include <string>
#include <vector>

#include "qlcshape/options.h"
#include "qlcshape/stats.h"

namespace qlcshape {

// The file systems that hold drive files, in the order of the array file. Left out: block devices,
// what can't be read, and all where a file system does not answer. Any thread.
std::vector<Stats::FileSystem> file_systems_of(const Options& options);

// They may need more than there is.
bool is_short(const Stats::FileSystem& system);

// That, in figures, and what helps.
std::string shortage(const Stats::FileSystem& system);

// Warnings of why the drive files can't be written to their end: a file system that is short, a
// limit of this process on the size of files. Any thread.
void log_shortages(const Options& options);

}  // namespace qlcshape
