// SPDX-License-Identifier: Apache-2.0
// Which drives failed, for messages.
#pragma once

#include <string>

#include "placement/array_context.h"

namespace qlcshape {

// The last failed transfer of each drive that had one since it was opened: path, what, errno,
// remedy. If there was none, it says so. Any thread.
std::string drive_failures(const ArrayContext& array);

}  // namespace qlcshape
