// SPDX-License-Identifier: Apache-2.0
// Reads the band table: of each page the newest whole copy on any scm drive. A page is written to
// place A or B by its generation, so a torn write leaves the version before. That one will do, for
// a band's opening or erasing is acted on only when its page is durable on every scm drive.
#pragma once

#include <vector>

#include "base/error.h"
#include "format/band_page.h"
#include "placement/array_context.h"

namespace qlcshape {

struct LoadedBands {
    std::vector<BandRecord> records;         // by band
    std::vector<std::uint64_t> generations;  // by page
};

// The columns of bands go to array.columns.
Result<LoadedBands> load_band_table(const ArrayContext& array, IoQueue& queue);

}  // namespace qlcshape
