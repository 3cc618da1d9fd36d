// SPDX-License-Identifier: Apache-2.0
// Reads a whole volume back and compares it with what was acknowledged.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "qlcshape/volume.h"
#include "tools/stamps.h"

namespace qlcshape::tools {

struct VerifyResult {
    std::uint64_t blocks = 0;      // of 4096 bytes, compared
    std::uint64_t mismatches = 0;  // of them wrong
    std::uint64_t newer = 0;  // units that hold what was in flight, not yet acknowledged, at a kill
    std::vector<std::string> first;  // the first wrong ones, in words
};

// A unit whose request was in flight (a writer was killed) may hold either; which one is entered in
// the table, and then nothing is in flight any more.
Result<VerifyResult> verify_volume(const Volume& volume, StampTable& table,
                                   const std::function<void(double percent)>& progress);

}  // namespace qlcshape::tools
