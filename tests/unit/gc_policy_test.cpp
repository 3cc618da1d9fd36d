// SPDX-License-Identifier: Apache-2.0
// Which band GC moves next, as a table.
#include <catch2/catch.hpp>
#include <vector>

#include "gc/policy.h"

using namespace qlcshape;

namespace {

constexpr std::uint32_t kSegmentSlots = 1000;
constexpr std::uint32_t kBands = 50;

Candidate band(std::uint32_t id, std::uint64_t sequence, std::uint32_t valid,
               std::uint32_t tombstones = 0) {
    return {BandId(id), sequence, valid, tombstones};
}

struct Row {
    const char* what;
    std::uint64_t newest;
    std::vector<Candidate> seen;
    std::optional<BandId> wanted;
};

}  // namespace

TEST_CASE("greedy policy: which band is moved") {
    const std::vector<Row> rows = {
        {"nothing to see", 100, {}, std::nullopt},
        {"where all are full by their counts, the oldest",
         100,
         {band(1, 12, kSegmentSlots), band(2, 11, kSegmentSlots + 7), band(3, 13, kSegmentSlots)},
         BandId(2)},
        {"one with a single obsolete block", 100, {band(1, 10, kSegmentSlots - 1)}, BandId(1)},
        {"the fewest valid", 100, {band(1, 1, 500), band(2, 2, 300), band(3, 3, 400)}, BandId(2)},
        {"whatever the order", 100, {band(2, 2, 300), band(3, 3, 400), band(1, 1, 500)}, BandId(2)},
        {"an empty one before all", 100, {band(1, 1, 1), band(2, 90, 0)}, BandId(2)},
        {"of equals the oldest",
         100,
         {band(1, 30, 300), band(2, 20, 300), band(3, 40, 300)},
         BandId(2)},
        {"tombstones of a young band count as valid",
         100,
         {band(1, 99, 300, 200), band(2, 98, 400)},
         BandId(2)},
        {"a young band of tombstones gains nothing",
         100,
         {band(1, 98, 0, kSegmentSlots), band(2, 99, kSegmentSlots - 1)},
         BandId(2)},
        {"a few obsolete blocks beside tombstones", 100, {band(1, 99, 500, 499)}, BandId(1)},
        {"valid and tombstones fill a young band",
         100,
         {band(1, 98, 500, 500), band(2, 99, 999)},
         BandId(2)},
        {"tombstones of an old band are garbage",
         1000,
         {band(1, 799, 300, 700), band(2, 999, 400)},
         BandId(1)},
        {"old begins four rounds of all bands ago",
         1000,
         {band(1, 800, 300, 200), band(2, 999, 400)},
         BandId(2)},
        {"in a young array nothing is old",
         200,
         {band(1, 1, 0, kSegmentSlots), band(2, 150, kSegmentSlots - 1)},
         BandId(2)},
        {"just after that the first is", 202, {band(1, 1, 0, kSegmentSlots)}, BandId(1)},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        GreedyPolicy policy(kSegmentSlots, kBands, row.newest);
        for (const Candidate& candidate : row.seen) policy.see(candidate);
        CHECK(policy.best() == row.wanted);
    }
}

TEST_CASE("greedy policy: with bands out of use one that is full gives nothing") {
    const std::vector<Row> rows = {
        {"all full",
         100,
         {band(1, 12, kSegmentSlots), band(2, 11, kSegmentSlots + 7)},
         std::nullopt},
        {"but one, which fills a band again",
         100,
         {band(1, 12, kSegmentSlots), band(2, 13, 1)},
         std::nullopt},
        {"garbage of less than a band in all",
         100,
         {band(1, 12, 501), band(2, 13, 500), band(3, 14, kSegmentSlots)},
         std::nullopt},
        {"of a band",
         100,
         {band(1, 12, 500), band(2, 13, 500), band(3, 14, kSegmentSlots)},
         BandId(1)},
        {"tombstones that are young are none",
         100,
         {band(1, 98, 300, 300), band(2, 99, 500)},
         std::nullopt},
        {"full with tombstones that are young", 100, {band(1, 98, 500, 500)}, std::nullopt},
        {"an estimated count may be wrong",
         100,
         {band(1, 12, kSegmentSlots), {BandId(2), 13, kSegmentSlots, 0, true}},
         BandId(2)},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        GreedyPolicy policy(kSegmentSlots, kBands, row.newest, true);
        for (const Candidate& candidate : row.seen) policy.see(candidate);
        CHECK(policy.best() == row.wanted);
    }
}
