// SPDX-License-Identifier: Apache-2.0
// Opens of arrays whose metadata was damaged at random: a clear error, media errors of single
// blocks, or right data. Never a crash, a hang, or wrong data.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "sim/sim_run.h"

using namespace qlcshape::sim;

namespace {

void run_seed(std::uint64_t seed, DamageResult& sum) {
    const DamageResult result = run_damaged(seed);
    INFO("replay with QLCSHAPE_DAMAGE_SEEDS=\"" << seed << " 1\"; " << result.damage);
    CHECK(result.violation == "");
    sum.add(result);
}

}  // namespace

TEST_CASE("damage: metadata at random ends in an error or in right data") {
    // QLCSHAPE_DAMAGE_SEEDS="100 20": from seed 100, 20 seeds.
    std::uint64_t first = 1, count = 40;
    if (const char* text = std::getenv("QLCSHAPE_DAMAGE_SEEDS")) {
        char* end = nullptr;
        first = std::strtoull(text, &end, 10);
        count = std::strtoull(end, nullptr, 10);
    }
    DamageResult sum;
    for (std::uint64_t seed = first; seed < first + count; ++seed) run_seed(seed, sum);
    fmt::print(
        "damage: {} seeds, {} of them covered by redundancy; {} opens, {} refused, {} that built "
        "the table anew, {} stops ({} because space ran out); {} blocks lost, {} sectors older "
        "where "
        "nothing newer is left\n",
        count, sum.covered, sum.opens, sum.refusals, sum.rebuilt, sum.stops, sum.out_of_space,
        sum.blocks_lost, sum.sectors_older);
}
