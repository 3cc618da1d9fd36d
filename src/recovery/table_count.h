// Reads the whole PMT on SCM and counts what it maps. Blocks.
#pragma once

#include "recovery/table_build.h"

namespace qlcshape {

// Sets used_blocks and valid of `totals`. False where a page can't be read or is damaged, or leads
// to no band of the array; then `totals` means nothing.
bool count_table(const ArrayContext& array, IoQueue& queue, TableTotals& totals);

}  // namespace qlcshape
