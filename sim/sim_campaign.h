// SPDX-License-Identifier: Apache-2.0
// Many seeds one after the other: what the tests and `qlcshape sim` run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/sim_run.h"

namespace qlcshape::sim {

struct Failure {
    std::uint64_t seed = 0;
    std::string violation;
};

struct Campaign {
    Profile profile = Profile::cuts;
    std::uint32_t cycles = 0;  // of each seed; 0: the profile's usual number
    std::uint64_t first = 1, last = 1;
    std::uint64_t step = 1;
    // Before and after each seed; may be empty.
    std::function<void(std::uint64_t seed)> begins;
    std::function<void(std::uint64_t seed, const RunResult& result)> ended;
};

struct CampaignResult {
    RunCounts sum;
    std::uint64_t seeds = 0;
    std::vector<Failure> failures;
};

CampaignResult run_campaign(const Campaign& campaign);

// The command that runs that seed alone, again.
std::string replay_command(std::uint64_t seed, Profile profile, std::uint32_t cycles);

}  // namespace qlcshape::sim
