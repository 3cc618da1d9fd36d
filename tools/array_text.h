// SPDX-License-Identifier: Apache-2.0
// An array file made from an array's superblocks.
#pragma once

#include <string>

#include "tools/survey.h"

namespace qlcshape::tools {

// Writes the file; its folder must exist. Devices below that folder get relative paths. Members
// that can't be used are named in comments. Errors: exists; invalid_argument, if a member is
// present twice, or a path is not UTF-8, which TOML requires; io_error.
Status write_array_file(const SurveyedArray& array, const std::string& path);

}  // namespace qlcshape::tools
