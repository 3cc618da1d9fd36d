// SPDX-License-Identifier: Apache-2.0
// At which persistence points the power was cut. For each point (src/device/transfer.h) two things
// are counted: cuts while an I/O of it was in flight, and cuts directly after one had completed,
// before any other device event. A point is covered when both are above zero.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "device/io.h"

namespace qlcshape::sim {

struct PointTally {
    std::uint64_t done = 0;  // I/Os that completed
    std::uint64_t cuts_in_flight = 0;
    std::uint64_t cuts_after = 0;
    bool covered() const { return cuts_in_flight != 0 && cuts_after != 0; }
};

// Points at which cuts are made: all but reads and creation, which promises nothing before its end;
// at those of resilvering, the last, by the profile that has any (sim_away.cpp).
inline constexpr auto kFirstPoint = static_cast<std::size_t>(PersistencePoint::create) + 1;
inline constexpr auto kLastPoint = PersistencePoint::scm_superblock_flush;
inline constexpr auto kPoints = static_cast<std::size_t>(PersistencePoint::count);

struct Coverage {
    std::array<PointTally, kPoints> points{};

    PointTally& operator[](PersistencePoint p) { return points[static_cast<std::size_t>(p)]; }
    void add(const Coverage& other);
    // Transfers that changed something on a drive, or flushes after such.
    std::uint64_t writes() const;
    std::size_t covered() const;
    static constexpr std::size_t all() { return kPoints - kFirstPoint; }
    std::vector<PersistencePoint> uncovered() const;
    std::string table() const;  // a line a point
};

}  // namespace qlcshape::sim
