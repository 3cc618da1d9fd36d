// SPDX-License-Identifier: Apache-2.0
// A drive as somebody names it: by its path in the array file, or its device UUID.
#pragma once

#include <string>

#include "admin/holder.h"
#include "qlcshape/options.h"

namespace qlcshape::tools {

// As the options have it: paths of an array file are relative to its folder.
std::string named_drive(const Options& options, const std::string& array_file,
                        const std::string& word);

// For the process that has the array open, to which this one's folder means nothing.
Result<std::string> named_there(const Holder& holder, const std::string& drive);

}  // namespace qlcshape::tools
