// SPDX-License-Identifier: Apache-2.0
// Why writing has ended and what helps, in words: errors, status and log say the same.
#pragma once

#include <string>

#include "band/space_gate.h"
#include "placement/array_context.h"

namespace qlcshape {

// Where more drives fail than parity covers.
inline constexpr const char* kReconnect =
    "reconnect the drives, then close the array and open it again";

// "after a drive failed (which, what, errno)". Any thread.
std::string ending(const SpaceGate& gate, const ArrayContext& array);

// What the operator can do about it. Any thread.
std::string remedy(const SpaceGate& gate, const ArrayContext& array);

}  // namespace qlcshape
