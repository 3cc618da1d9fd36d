// SPDX-License-Identifier: Apache-2.0
// Reads and writes the records of snapshots of the PMT. Every call blocks; while the array is in
// use the Snapshotter writes them. Two places on each scm drive, for even and odd generations: the
// record in force is never overwritten, so a torn write leaves it.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "format/snapshot_record.h"
#include "placement/array_context.h"

namespace qlcshape {

struct LoadedSnapshot {
    std::optional<Snapshot> snapshot;  // the one in force; nothing where there is none
    std::vector<Device*> behind;       // drives that lack more than the newest record
    LifetimeCounters counters{};       // the newest, of whatever drive; zeroes where none has any
};

// Each scm drive has a part of the table, so a snapshot is in force only if every drive has it or a
// newer one: of each drive's newest whole record the oldest counts. A drive that went back to an
// earlier moment of the epoch has older pages, and an older record. Of that epoch or one before it:
// an epoch begins before its first snapshot is there.
//
//   drive 0    drive 1     in force    why
//   7, 6       7, 6        7
//   7, 6       torn, 6     6           cut while 7 was written. Pages as of 7 are newer: no harm
//   7, 6       4, 3        4           drive 1 went back: its pages are as of 4. It is `behind`
//   7, 6       torn, torn  none        its part of the table may be of any age: built from headers
LoadedSnapshot load_snapshot(const ArrayContext& array, std::uint64_t epoch, IoQueue& queue);

// To the place of its generation on every scm drive, and durable there.
Status write_snapshot(const ArrayContext& array, const Snapshot& snapshot, IoQueue& queue);

}  // namespace qlcshape
