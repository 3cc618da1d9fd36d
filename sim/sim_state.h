// SPDX-License-Identifier: Apache-2.0
// What state an array was in when its power was cut or its process killed: cycles are counted by
// it. Several hold at once, and a cycle that took more than one cut is counted in those of all.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>

namespace qlcshape::sim {

enum class State : std::uint8_t {
    healthy,  // open, and none of the others
    one_qlc_lost,
    two_qlc_lost,
    rebuilding,   // bands lack a drive that is back, or new
    replacing,    // a QLC drive, while open
    scm_lost,     // one of two
    resilvering,  // an SCM drive that is back or new is being filled
    scrubbing,
    recovering,
    table_lost,  // the recovery built it from all headers
    count
};
inline constexpr std::size_t kStates = static_cast<std::size_t>(State::count);

using States = std::bitset<kStates>;
using StateCounts = std::array<std::uint64_t, kStates>;

const char* to_string(State state);

}  // namespace qlcshape::sim
