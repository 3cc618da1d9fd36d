// Fills the public statistics from what an array keeps; for an open array and for a closed one
// alike.
#pragma once

#include <functional>

#include "base/counters.h"
#include "format/superblock.h"
#include "qlcshape/stats.h"
#include "recovery/superblock_store.h"

namespace qlcshape {

void fill_counters(Stats& stats, const std::function<std::uint64_t(Counter)>& get);
void fill_space(Stats& stats, const Superblock& superblock, const ArrayLayout& layout);
// After fill_counters().
void fill_devices(Stats& stats, const std::vector<MemberDevice>& members);

}  // namespace qlcshape
