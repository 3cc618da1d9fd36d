// SPDX-License-Identifier: Apache-2.0
// Fills the public statistics from what an array keeps; for an open array and for a closed one
// alike, so that a figure has one definition.
#pragma once

#include <functional>

#include "base/counters.h"
#include "format/superblock.h"
#include "meta/superblock_store.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"

namespace qlcshape {

void fill_counters(Stats& stats, const std::function<std::uint64_t(Counter)>& get);
void fill_space(Stats& stats, const Superblock& superblock, const ArrayLayout& layout);
// How many bands have a column on each QLC drive.
void count_bands(Stats& stats, const ArrayContext& array);
// Of a band that is in use; `gone`: ArrayContext::drives_gone(), which is the same for all.
void count_protection(Stats::Protection& protection, const ArrayContext& array,
                      const DriveSet& gone, BandId band);
// In the superblock's order.
using Members = std::vector<const MemberDevice*>;
Members all_of(const std::vector<MemberDevice>& members);
// Of a missing one as far as it is known; otherwise it is empty. `named`: the array file's;
// `unusable`: some of them, with the reason.
std::string path_of(const MemberDevice& member, const Members& members,
                    const std::vector<DeviceOptions>& named, const std::vector<Unusable>& unusable);
// After fill_counters(); the rest as for path_of().
void fill_devices(Stats& stats, const Superblock& superblock, const Members& members,
                  const std::vector<DeviceOptions>& named, const std::vector<Unusable>& unusable);

// A spare of which nothing else is known yet.
DeviceStatus spare_at(const std::string& path);

}  // namespace qlcshape
