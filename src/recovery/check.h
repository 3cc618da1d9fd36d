// SPDX-License-Identifier: Apache-2.0
// `check`: reads all of a closed array and compares it with itself. Writes nothing. Every call
// blocks. What is derived (table, counts, P and Q) is computed from the data and its headers, and
// compared with what is on the drives. After a crash without the table, which recovery will change.
#pragma once

#include "format/superblock.h"
#include "placement/array_context.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"

namespace qlcshape {

// Every segment of every band that counts: header, each block's checksum, P and Q. After a clean
// close also the table against the headers, entry by entry, and the counts of the band table.
Result<CheckReport> check_array(const ArrayContext& array, const Superblock& superblock,
                                IoQueue& queue, const Progress& progress);

}  // namespace qlcshape
