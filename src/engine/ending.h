// SPDX-License-Identifier: Apache-2.0
// Why writing has ended and what helps, in words: errors, status and log say the same.
//
//   what ended writing                     what helps
//   more drives are away than parity       to reconnect them, whatever else happened: neither an
//   covers                                 opening nor `check` can do without them
//   a transfer that a drive failed         by its errno (device/remedy.h), then another opening
//   one that the system refused            likewise: room, a limit, a permission
//   a page of the table                    another opening, which rebuilds the table
//   bands that are out of use take space   another opening, which tries them again
#pragma once

#include <cstdint>
#include <string>

#include "band/space_gate.h"
#include "placement/array_context.h"

namespace qlcshape {

// Where more drives fail than parity covers.
inline constexpr const char* kReconnect =
    "reconnect the drives, then close the array and open it again";

// "after a drive failed (which, what, errno)". Any thread.
std::string ending(const SpaceGate& gate, const ArrayContext& array);

// What the operator can do about it: "free space on the file system that holds qlc0.img, then close
// the array and open it again". Any thread.
enum class Then : std::uint8_t { close_and_open, open };
std::string remedy(const SpaceGate& gate, const ArrayContext& array, Then then);

}  // namespace qlcshape
