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

struct TableCountInput {
    const ArrayContext& array;
    const TableBitmap& bitmap;
    const std::vector<Patch>& patches;
    bool mend = false;  // copies of a page that are damaged, from the other one; not flushed
    IoQueue& queue;
};

struct TableCount {
    bool good = false;          // each page was read, and leads to bands of the array
    std::uint64_t damaged = 0;  // pages of which a copy is
    std::string damaged_on;     // the last of them: its drive's path
};

// Sets used_blocks and valid of `totals`; they mean nothing where the result is not good.
Result<TableCount> count_table(const TableCountInput& input, TableTotals& totals);

}  // namespace qlcshape
