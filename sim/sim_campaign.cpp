// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_campaign.h"

#include <fmt/format.h>

namespace qlcshape::sim {

CampaignResult run_campaign(const Campaign& campaign) {
    const std::uint32_t cycles =
        campaign.cycles != 0 ? campaign.cycles : usual_cycles(campaign.profile);
    CampaignResult result;
    for (std::uint64_t seed = campaign.first; seed <= campaign.last; seed += campaign.step) {
        if (campaign.begins) campaign.begins(seed);
        const RunResult one = run_history(seed, cycles, campaign.profile);
        result.sum.add(one);
        ++result.seeds;
        if (!one.violation.empty()) result.failures.push_back({seed, one.violation});
        if (campaign.ended) campaign.ended(seed, one);
    }
    return result;
}

std::string replay_command(std::uint64_t seed, Profile profile, std::uint32_t cycles) {
    std::string text =
        fmt::format("qlcshape sim --seeds {}..{} --profile {}", seed, seed, to_string(profile));
    if (cycles != 0 && cycles != usual_cycles(profile)) text += fmt::format(" --cycles {}", cycles);
    return text;
}

}  // namespace qlcshape::sim
