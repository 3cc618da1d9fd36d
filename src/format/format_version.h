// SPDX-License-Identifier: Apache-2.0
// Which layout of everything on media this program writes, and the only one that it reads.
// docs/disk_format.md: Versions.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace qlcshape {

inline constexpr std::uint16_t kFormatVersion = 3;
// Version 3 is being completed step by step, and each step that changes a structure gets the next
// number. No program reads another's: what looks alike may lie elsewhere.
inline constexpr std::uint16_t kFormatDraft = 4;

// A structure that passes its checks has `what` ("entry format 2"), which only a newer program
// knows. `where`: the structure, with its drive and offset.
Error newer_feature(std::string_view where, std::string_view what);

// Whether this program reads an array of that version and draft; the error says what helps.
Status check_format(std::uint16_t version, std::uint16_t draft);

}  // namespace qlcshape
