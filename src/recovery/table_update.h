// SPDX-License-Identifier: Apache-2.0
// Brings the PMT on SCM from a snapshot up to the present: what segments say that came after it is
// weighed against what the table says, LBA by LBA. Reads and writes only pages that are concerned.
// Every call blocks. The rule: docs/write_path.md, Recovery.
#pragma once

#include <unordered_map>
#include <vector>

#include "format/snapshot_record.h"
#include "pmt/page_patches.h"
#include "pmt/table_bitmap.h"
#include "recovery/table_build.h"

namespace qlcshape {

struct TableUpdateInput {
    const ArrayContext& array;
    const Snapshot& snapshot;
    const std::vector<BandRecord>& bands;     // what counts: state, sequence, segments
    const std::vector<BandRecord>& on_media;  // before recovery decided about those that are open
    // What is served from memory because nothing can be committed now: LBA -> version.
    const std::unordered_map<std::uint64_t, Version>& in_memory;
    // What needs no look at the table is left as patches, for when pages are read.
    bool leave_patches = false;
    bool read_only = false;           // all of it is left as patches, and nothing is written
    std::uint64_t kept_findings = 0;  // at once; with more, several passes
    const Team& team;
    SegmentScan& scan;
    TableBitmap& bitmap;
    IoQueue& queue;
    const Progress& progress;
};

struct TableUpdate {
    bool impossible = false;  // a page is damaged, or too much came after: rebuild all of it
    TableTotals totals;       // counts are hints, unless the table is small enough to be counted
    std::vector<std::uint64_t> superseded;  // of in_memory: the array has as new a version
    std::vector<Patch> patches;             // in the order of LBAs
};

Result<TableUpdate> update_table(const TableUpdateInput& input);

}  // namespace qlcshape
