// One history of the whole engine under simulation: an array, load, power cuts at any event (also
// while recovering), clean closes, and after each of them every block compared with the oracle.
#pragma once

#include <cstdint>
#include <string>

#include "coverage.h"

namespace qlcshape::sim {

struct RunResult {
    std::string violation;  // empty: none
    std::uint64_t trace = 0;
    std::uint64_t events = 0;
    std::uint64_t crashes = 0;
    std::uint64_t crashes_in_recovery = 0;
    std::uint64_t clean_closes = 0;
    std::uint64_t degraded_opens = 0;
    std::uint64_t operations = 0;
    std::uint64_t bands_moved = 0;
    Coverage coverage;
};

// `cycles`: openings of the array.
RunResult run_history(std::uint64_t seed, std::uint32_t cycles);

}  // namespace qlcshape::sim
