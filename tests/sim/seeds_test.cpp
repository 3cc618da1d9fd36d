// SPDX-License-Identifier: Apache-2.0
// Seeds that found something once, and seeds that nobody has seen yet.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <sstream>

#include "sim/sim_campaign.h"

using namespace qlcshape::sim;

TEST_CASE("sim: seeds that found something once") {
    std::ifstream file(QLCSHAPE_SIM_SEEDS_FILE);
    REQUIRE(file.is_open());
    std::size_t seeds = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream words(line);
        std::string name;
        std::uint64_t seed = 0;
        std::uint32_t cycles = 0;
        Profile profile = Profile::cuts;
        words >> name >> seed >> cycles;
        REQUIRE(words);
        REQUIRE(profile_of(name, profile));
        const auto result = run_campaign({profile, cycles, seed, seed, 1, {}, {}});
        INFO(line);
        CHECK(result.failures.empty());
        ++seeds;
    }
    CHECK(seeds >= 5);
}

// Every run looks at histories that no run has looked at. What fails is printed with the command
// that runs it again.
TEST_CASE("sim: new seeds each time") {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    const auto first = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(since_1970).count());
    constexpr std::uint64_t kSeeds = 6;
    for (const Profile profile : {Profile::cuts, Profile::all}) {
        fmt::print("sim {}: new seeds {}..{}\n", to_string(profile), first, first + kSeeds - 1);
        const auto result = run_campaign({profile, 0, first, first + kSeeds - 1, 1, {}, {}});
        for (const Failure& failure : result.failures) {
            UNSCOPED_INFO("seed " << failure.seed << ": " << failure.violation
                                  << "; replay: " << replay_command(failure.seed, profile, 0));
        }
        CHECK(result.failures.empty());
    }
}

// The same in every build: nothing may hang on addresses, on the order of unordered containers, or
// on floating point. scripts/test.sh compares what the release and the sanitizer builds print.
TEST_CASE("sim: traces", "[.traces]") {
    for (const Profile profile : {Profile::cuts, Profile::all}) {
        for (std::uint64_t seed = 7; seed < 10; ++seed) {
            fmt::print("trace of {} {}: {:016x}\n", to_string(profile), seed,
                       run_history(seed, 4, profile).trace);
        }
    }
}
