// Reads and writes the records that tell of snapshots of the PMT. Every call blocks; while the
// array is in use the Snapshotter writes them.
#pragma once

#include <optional>

#include "base/error.h"
#include "device/array_context.h"
#include "format/snapshot_record.h"

namespace qlcshape {

// The newest whole one on any scm drive, of that epoch or one before it: an epoch begins before its
// first snapshot is there. Nothing where there is none.
std::optional<Snapshot> load_snapshot(const ArrayContext& array, std::uint64_t epoch,
                                      IoQueue& queue);

// To the place of its generation on every scm drive, and durable there.
Status write_snapshot(const ArrayContext& array, const Snapshot& snapshot, IoQueue& queue);

}  // namespace qlcshape
