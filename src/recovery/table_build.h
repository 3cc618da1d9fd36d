// SPDX-License-Identifier: Apache-2.0
// Builds the PMT from segment headers alone: for each LBA the newest version that any counting
// segment has, and of equal ones (GC's copies) that of Best. In passes over ranges of LBAs, so that
// memory stays bounded: each pass reads every header once, shared out by bands. Every call blocks.
//
// 256 MiB at 24 bytes an LBA are 11.2 million LBAs, or 43 GiB of the table's address space: a table
// of 240 TiB would take some 5,800 passes over all headers, and with 64 GiB of DRAM 23.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/error.h"
#include "device/team.h"
#include "format/pmt_page.h"
#include "placement/array_context.h"
#include "qlcshape/options.h"
#include "recovery/entry_scan.h"

namespace qlcshape {

struct TableTotals {
    std::uint64_t used_blocks = 0;
    ScanTotals scanned;
    std::vector<std::uint32_t> valid;       // by band
    std::vector<std::uint32_t> tombstones;  // by band: blocks of tombstones, and poisoned entries
};

// The least DRAM for one pass; 24 bytes an LBA.
inline constexpr std::uint64_t kTableBuildBytes = 256 * MiB;

// `memory_bytes`: DRAM for one pass, if that is more. Calls `page` with each page of the table in
// order, and the version of each entry.
using SeePage =
    std::function<Status(PageId page, const PmtEntry* entries, const Version* versions)>;
Result<TableTotals> build_table(const ArrayContext& array, const std::vector<SegmentRange>& bands,
                                const Team& team, std::uint64_t memory_bytes, const SeePage& page,
                                const Progress& progress);

}  // namespace qlcshape
