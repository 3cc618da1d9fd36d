// SPDX-License-Identifier: Apache-2.0
// Writes everything anew on an SCM drive that was out, or that is empty, from those that are in. No
// page of the table is in the cache and dirty then, and nothing is written meanwhile.
//
//   band table, snapshots, bitmap   both places of each page, as they are: an old one that stayed
//                                   might have a higher generation
//   PMT                             the pages that it has copies of, and that were ever written
//   TPS                             nothing: its records are of an earlier epoch, or of none
//
// It counts when a superblock says that the drive is in.
#pragma once

#include <cstdint>

#include "device/device.h"
#include "placement/array_context.h"
#include "pmt/table_bitmap.h"
#include "qlcshape/options.h"

namespace qlcshape {

struct ScmDrive {
    std::uint32_t index = 0;
    Device& device;
};

// Flushed at the end. Blocks. What can't be read anywhere is zeroes there: damaged, as elsewhere.
Status copy_scm_drive(const ArrayContext& array, const TableBitmap& bitmap, const ScmDrive& to,
                      IoQueue& queue, const Progress& progress);

}  // namespace qlcshape
