// SPDX-License-Identifier: Apache-2.0
// Which layout of everything on media this program writes, and the only one that it reads.
// docs/disk_format.md: Versions.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace qlcshape {

inline constexpr std::uint16_t kFormatVersion = 3;
// Version 3 is being completed step by step, and each step that changes a structure gets the next
// number. No program reads another's: what looks alike may lie elsewhere.
inline constexpr std::uint16_t kFormatDraft = 4;

// Whether this program reads an array of that version and draft; the error says what helps.
Status check_format(std::uint16_t version, std::uint16_t draft);

}  // namespace qlcshape
