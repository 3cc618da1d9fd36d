// SPDX-License-Identifier: Apache-2.0
// The array file's text -> Options, apart from the file system.
#pragma once

#include <string>
#include <string_view>

#include "qlcshape/options.h"

namespace qlcshape {

// `path` is where the text comes from: for messages, and the folder of relative device paths.
Result<Options> parse_array_file(std::string_view text, const std::string& path);

}  // namespace qlcshape
