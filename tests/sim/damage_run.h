// One array whose metadata is damaged between two openings: known data on it, damage, then open,
// read everything, write, close, and once more.
#pragma once

#include <cstdint>
#include <string>

namespace qlcshape::sim {

struct DamageResult {
    std::string violation;  // empty: none
    std::string damage;     // what was done
    std::uint64_t opens = 0;
    std::uint64_t refusals = 0;       // an open said what is wrong
    std::uint64_t blocks_lost = 0;    // reads that were media errors
    std::uint64_t blocks_older = 0;   // older data where the damage excuses it
    std::uint64_t must_be_right = 0;  // 1: redundancy covered all of it
};

DamageResult run_damaged(std::uint64_t seed);

}  // namespace qlcshape::sim
