// SPDX-License-Identifier: Apache-2.0
// demo: an array with just a little more space than the volume takes, so that GC must run.
#pragma once

#include <string>

#include "qlcshape/options.h"

namespace qlcshape::tools {

// Writes FOLDER/array.toml for 8+2 QLC files and 2 SCM files, and reads it back. Fails if the size
// is too small for GC to matter.
Result<Options> plan_demo(const std::string& folder, std::uint64_t volume_bytes);

}  // namespace qlcshape::tools
