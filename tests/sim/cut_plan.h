// When the next power cut comes: after some number of events, or at a persistence point, so that
// those that are rarely reached are cut at as often as the common ones.
#pragma once

#include "sim_world.h"

namespace qlcshape::sim {

// Any of [from, to].
inline PersistencePoint random_point(
    Random& random, PersistencePoint from = static_cast<PersistencePoint>(kFirstPoint),
    PersistencePoint to = static_cast<PersistencePoint>(kPoints - 1)) {
    const auto first = static_cast<std::uint64_t>(from);
    return static_cast<PersistencePoint>(first +
                                         random.below(static_cast<std::uint64_t>(to) - first + 1));
}

// While opening; `usual`: events that an opening took.
inline void plan_cut_in_opening(World& world, std::uint64_t usual) {
    Random& random = world.random();
    const auto point = random_point(random, PersistencePoint::replay_strip_write);
    if (random.chance(1, 2))
        world.cut_at(point, 1 + random.below(8), random.below(3));
    else
        world.cut_after(1 + random.below(usual + usual / 8));
}

// One of many in a row, each in the recovery from the one before: behind the replay, before the new
// epoch.
inline void plan_cut_in_loop(World& world) {
    Random& random = world.random();
    const auto point = random.chance(1, 4) ? PersistencePoint::replay_strip_write
                                           : PersistencePoint::recovery_table_write;
    world.cut_at(point, 1 + random.below(4), random.below(3));
}

// Where the next commit brings back space of a full ring.
inline void plan_cut_in_storm(World& world) {
    Random& random = world.random();
    world.cut_at(PersistencePoint::strip_write, 1 + random.below(12), random.below(24));
}

// While there is load.
inline void plan_cut_under_load(World& world) {
    Random& random = world.random();
    const auto point =
        random_point(random, PersistencePoint::tps_write, PersistencePoint::pmt_write_back);
    world.cut_at(point, 1 + random.below(80), random.below(24));
}

// While a volume is made or deleted, or the array closed.
inline void plan_cut_in_control(World& world) {
    Random& random = world.random();
    const auto point = random_point(random, PersistencePoint::pmt_write_back);
    if (random.chance(1, 2))
        world.cut_at(point, 1 + random.below(8), random.below(2));
    else
        world.cut_after(1 + random.below(64));
}

}  // namespace qlcshape::sim
