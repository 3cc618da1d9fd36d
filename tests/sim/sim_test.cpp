#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "sim_run.h"

namespace {

// QLCSHAPE_SIM_SEEDS="100 20": from seed 100, 20 seeds.
void seeds_to_run(std::uint64_t& first, std::uint64_t& count) {
    if (const char* text = std::getenv("QLCSHAPE_SIM_SEEDS")) {
        char* end = nullptr;
        first = std::strtoull(text, &end, 10);
        count = std::strtoull(end, nullptr, 10);
    }
}

}  // namespace

TEST_CASE("sim: power cuts at any event lose nothing that was acknowledged") {
    std::uint64_t first = 1, count = 16;
    seeds_to_run(first, count);
    qlcshape::sim::RunResult sum;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        const auto result = qlcshape::sim::run_history(seed, 10);
        INFO("replay with QLCSHAPE_SIM_SEEDS=\"" << seed << " 1\"");
        REQUIRE(result.violation == "");
        sum.crashes += result.crashes;
        sum.crashes_in_recovery += result.crashes_in_recovery;
        sum.clean_closes += result.clean_closes;
        sum.degraded_opens += result.degraded_opens;
        sum.operations += result.operations;
        sum.bands_moved += result.bands_moved;
        sum.events += result.events;
        sum.coverage.add(result.coverage);
    }
    fmt::print(
        "sim: {} seeds, {} operations, {} device events, {} cuts, {} cuts while recovering, {} "
        "clean "
        "closes, {} opens with drives missing, {} bands moved by GC: no violation\n",
        count, sum.operations, sum.events, sum.crashes, sum.crashes_in_recovery, sum.clean_closes,
        sum.degraded_opens, sum.bands_moved);
    fmt::print("{}", sum.coverage.table());
}

TEST_CASE("sim: a run is a pure function of its seed") {
    const auto a = qlcshape::sim::run_history(7, 4);
    const auto b = qlcshape::sim::run_history(7, 4);
    CHECK(a.trace == b.trace);
    CHECK(a.events == b.events);
    CHECK(a.trace != qlcshape::sim::run_history(8, 4).trace);
}
