// SPDX-License-Identifier: Apache-2.0
// In-place RAID6 on scratch devices next to an array's own: what its writes would have cost without
// write shaping.
#pragma once

#include <functional>
#include <string>

#include "bench/inplace_raid6.h"
#include "qlcshape/options.h"

namespace qlcshape::tools {

// For each QLC device of `options`: a file PATH.inplace, or for memory a memory device, of the same
// size (1 GiB at most), filled with zeroes first, so that the file system's allocation is not
// timed. The files are removed at the end. Block devices have no place next to them and are
// refused. Starts no thread.
Result<InplaceResult> run_inplace_beside(const Options& options, std::uint32_t depth,
                                         double seconds, std::uint64_t seed,
                                         const std::function<void(double percent)>& progress);

}  // namespace qlcshape::tools
