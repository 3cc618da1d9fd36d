// SPDX-License-Identifier: Apache-2.0
// Reads all of the PMT on SCM that was ever written, and counts what it maps, with the patches in
// it. Blocks.
//
// Valid counts from a crash are as old as the band table. For a table of up to counted_pages this
// makes them exact, and finds damaged pages before anything is served; for a larger one the
// counts stay estimates, since opening must not take as long as reading all of it.
#pragma once

#include "pmt/page_patches.h"
#include "pmt/table_bitmap.h"
#include "recovery/table_build.h"

namespace qlcshape {

// Sets used_blocks and valid of `totals`. False where a page can't be read or is damaged, or leads
// to no band of the array; then `totals` means nothing.
bool count_table(const ArrayContext& array, const TableBitmap& bitmap,
                 const std::vector<Patch>& patches, IoQueue& queue, TableTotals& totals);

}  // namespace qlcshape
