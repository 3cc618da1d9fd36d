// SPDX-License-Identifier: Apache-2.0
// Which drives failed, for messages.
#pragma once

#include <cstddef>
#include <string>

#include "placement/array_context.h"

namespace qlcshape {

// The last failed transfer of each drive that had one since it was opened: path, what, errno,
// remedy. If there was none, it says so. Any thread.
std::string drive_failures(const ArrayContext& array);

// How many QLC drives are missing or don't answer. Any thread.
std::size_t drives_away(const ArrayContext& array);

// More QLC drives are missing, or don't answer, than parity covers: what lies on them can't be read
// before they are back. A block that can't be read elsewhere does not make a drive one of them. Any
// thread.
bool beyond_parity(const ArrayContext& array);

}  // namespace qlcshape
