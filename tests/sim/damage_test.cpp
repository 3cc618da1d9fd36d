// Opens of arrays whose metadata was damaged at random: a clear error, media errors of single
// blocks, or right data. Never a crash, a hang, or wrong data.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "damage_run.h"

namespace {

// Seeds that failed once.
constexpr std::uint64_t kCorpus[] = {
    202,   // two drives had each other's newest superblock, one of the other role
    1139,  // counts of a band below zero, for a page of the table was old: its page was then
           // refused
    2085,  // closing after a failure forgot transfers that were under way
    2345,  // the same
    5019,  // closing waited for a band that GC, which had given up bands it can't read, didn't free
    5901,  // the same
};

}  // namespace

TEST_CASE("damage: seeds that failed once") {
    for (const std::uint64_t seed : kCorpus) {
        const auto result = qlcshape::sim::run_damaged(seed);
        INFO("replay with QLCSHAPE_DAMAGE_SEEDS=\"" << seed << " 1\"; " << result.damage);
        CHECK(result.violation == "");
    }
}

TEST_CASE("damage: metadata at random ends in an error or in right data") {
    // QLCSHAPE_DAMAGE_SEEDS="100 20": from seed 100, 20 seeds.
    std::uint64_t first = 1, count = 100;
    if (const char* text = std::getenv("QLCSHAPE_DAMAGE_SEEDS")) {
        char* end = nullptr;
        first = std::strtoull(text, &end, 10);
        count = std::strtoull(end, nullptr, 10);
    }
    qlcshape::sim::DamageResult sum;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        const auto result = qlcshape::sim::run_damaged(seed);
        INFO("replay with QLCSHAPE_DAMAGE_SEEDS=\"" << seed << " 1\"; " << result.damage);
        CHECK(result.violation == "");
        sum.opens += result.opens;
        sum.refusals += result.refusals;
        sum.blocks_lost += result.blocks_lost;
        sum.blocks_older += result.blocks_older;
        sum.must_be_right += result.must_be_right;
    }
    fmt::print(
        "damage: {} seeds, {} opens, {} refused, {} blocks lost, {} older where nothing newer is "
        "left, {} seeds covered by redundancy\n",
        count, sum.opens, sum.refusals, sum.blocks_lost, sum.blocks_older, sum.must_be_right);
}
