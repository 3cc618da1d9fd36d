// SPDX-License-Identifier: Apache-2.0
// Walks through segments and reports what each says of which LBA: data, poisoned, trimmed. From
// this the table is rebuilt, or brought up to date after a snapshot. Every call blocks. The work is
// shared out by ranges; each thread has its own I/O queue and buffers.
//
// A header that can't be had ends the scan with an error. To leave it out would bring back whatever
// it replaced, trimmed blocks too, and nobody would be told.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/canary.h"
#include "base/error.h"
#include "device/team.h"
#include "format/pmt_page.h"
#include "placement/array_context.h"
#include "recovery/segment_scan.h"

namespace qlcshape {

// Segments [from, to) of a band that count.
struct SegmentRange {
    BandId band;
    std::uint64_t sequence = 0;
    std::uint32_t from = 0;
    std::uint32_t to = 0;
};

// What a segment says of an LBA, or of several that were trimmed together. All lie in one PMT page.
struct Finding {
    Lba lba;
    std::uint32_t blocks = 1;
    Version version;
    std::uint64_t sequence = 0;  // of the band
    PmtEntry entry;
};
static_assert(sizeof(Finding) == 40);

// The best finding for one LBA so far. The newest wins. GC's source and copy have one version, and
// either will do; the band with the lower sequence wins, so that the result does not depend on the
// order in which threads find them. But data wins over "lost": where GC could not read the source,
// and a power cut then kept its verdict out of the table, a later GC may have read and copied it.
//
//   band 3, sequence 8    data, version 5           not readable for a moment, then again; emptied
//   band 5, sequence 49   poisoned, version 5       durable, never in the table
//   band 11, sequence 70  data, version 5           the copy that readers get
struct Best {
    std::uint64_t version = 0;
    std::uint64_t sequence = 0;
    PmtEntry entry;

    void consider(const Finding& c) {
        if (c.version.value < version && !canary(Canary::replay_in_band_order)) return;
        if (c.version.value == version && !ahead(c)) return;
        *this = Best{c.version.value, c.sequence, c.entry};
    }

  private:
    bool ahead(const Finding& c) const {
        if (c.entry.mapped() != entry.mapped()) return c.entry.mapped();
        return c.sequence < sequence;
    }
};
static_assert(sizeof(Best) == 24);

struct ScanTotals {
    std::uint64_t segments = 0;
    std::uint64_t max_version = 0;

    void add(const ScanTotals& o) {
        segments += o.segments;
        max_version = std::max(max_version, o.max_version);
    }
};

// Each part of the team takes as many ranges, one after the other, so that parts that run one after
// the other see what a single one would; `see` is called from the part's thread.
// `tombstones`: blocks of tombstones and poisoned entries found, added to it by band where it is
// not null; a band has at most one range. `progress`: the share that is done.
using SeeFinding = std::function<void(std::uint32_t part, const Finding&)>;
Result<ScanTotals> scan_entries(const ArrayContext& array, const std::vector<SegmentRange>& ranges,
                                const Team& team, const SeeFinding& see,
                                std::vector<std::uint32_t>* tombstones,
                                const std::function<void(double)>& progress);

}  // namespace qlcshape
