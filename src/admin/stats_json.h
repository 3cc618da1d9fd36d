// SPDX-License-Identifier: Apache-2.0
// Statistics as JSON, from one process to another (engine/control.h). The two may be of different
// versions, since a server goes on while the command is upgraded: fields that one side doesn't know
// are ignored, those that it lacks keep their defaults.
#pragma once

#include <string>

#include "qlcshape/error.h"
#include "qlcshape/stats.h"

namespace qlcshape {

std::string to_json(const Stats& stats);

// What a version of this library with other statistics wrote is an error.
Result<Stats> stats_from_json(const std::string& text);

}  // namespace qlcshape
