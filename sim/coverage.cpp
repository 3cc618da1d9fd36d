// SPDX-License-Identifier: Apache-2.0
#include "sim/coverage.h"

#include <fmt/format.h>

namespace qlcshape::sim {

namespace {
const char* name(std::size_t point) { return to_string(static_cast<PersistencePoint>(point)); }
}  // namespace

void Coverage::add(const Coverage& other) {
    for (std::size_t i = 0; i < kPoints; ++i) {
        points[i].done += other.points[i].done;
        points[i].cuts_in_flight += other.points[i].cuts_in_flight;
        points[i].cuts_after += other.points[i].cuts_after;
    }
}

std::uint64_t Coverage::writes() const {
    std::uint64_t n = 0;
    for (std::size_t i = kFirstPoint; i < kPoints; ++i) {
        if (i != static_cast<std::size_t>(PersistencePoint::open_flush)) n += points[i].done;
    }
    return n;
}

std::size_t Coverage::covered() const { return all() - uncovered().size(); }

std::vector<PersistencePoint> Coverage::uncovered() const {
    std::vector<PersistencePoint> some;
    for (std::size_t i = kFirstPoint; i < kPoints; ++i) {
        if (!points[i].covered()) some.push_back(static_cast<PersistencePoint>(i));
    }
    return some;
}

std::string Coverage::table() const {
    std::string text = fmt::format("{:<24}{:>12}{:>16}{:>12}\n", "persistence point", "completed",
                                   "cut in flight", "cut after");
    for (std::size_t i = kFirstPoint; i < kPoints; ++i) {
        const PointTally& t = points[i];
        text += fmt::format("{:<24}{:>12}{:>16}{:>12}\n", name(i), t.done, t.cuts_in_flight,
                            t.cuts_after);
    }
    return text;
}

}  // namespace qlcshape::sim
