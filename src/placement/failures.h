// SPDX-License-Identifier: Apache-2.0
// Which drives failed, for messages.
#pragma once

#include <string>

#include "placement/array_context.h"

namespace qlcshape {

// The last failed transfer of each drive that had one since it was opened: path, what, errno,
// remedy. If there was none, it says so. Any thread.
std::string drive_failures(const ArrayContext& array);

// More QLC drives are missing, or failed their last transfer, than parity covers: what lies on them
// can't be read before they are back. Any thread.
bool beyond_parity(const ArrayContext& array);

}  // namespace qlcshape
