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

// Why an opening can't go on after a transfer failed, and what helps: "qlc0.img: write of ...
// failed: No space left on device (errno 28); free space on ..., then open the array again". `by`:
// that transfer; without one (error_number 0) all failures since the drives were opened. Any
// thread.
std::string failed_opening(const Io& by, const ArrayContext& array);

// How many QLC drives are missing, out, or don't answer. Any thread.
std::size_t drives_away(const ArrayContext& array);

// More QLC drives that have columns are missing, or don't answer, than parity covers: of some bands
// what lies on them can't be read before they are back. A block that can't be read elsewhere does
// not make a drive one of them. Any thread.
bool beyond_parity(const ArrayContext& array);
// Of this band fewer than k columns are on drives that answer. Any thread.
bool beyond_parity(const ArrayContext& array, BandId band);

}  // namespace qlcshape
