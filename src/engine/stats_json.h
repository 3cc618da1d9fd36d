// SPDX-License-Identifier: Apache-2.0
// Statistics as JSON, for one process to tell another (engine/control.h).
#pragma once

#include <string>

#include "qlcshape/error.h"
#include "qlcshape/stats.h"

namespace qlcshape {

std::string to_json(const Stats& stats);

// What a version of this library with other statistics wrote is an error.
Result<Stats> stats_from_json(const std::string& text);

}  // namespace qlcshape
