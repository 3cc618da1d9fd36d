// SPDX-License-Identifier: Apache-2.0
#include "meta/band_load.h"

#include <optional>

#include "base/buffer.h"

namespace qlcshape {

Result<LoadedBands> load_band_table(const ArrayContext& array, IoQueue& queue) {
    const ArrayLayout& l = array.layout;
    const std::uint64_t bytes = l.band_table_pages * 2 * kBlockBytes;
    std::vector<Buffer> copies;
    std::vector<Io> ios;
    for (Device* scm : array.scm) {
        copies.emplace_back(bytes);
        Io io;
        io.kind = IoKind::read;
        io.device = scm;
        io.offset = l.band_table_offset;
        io.bytes = bytes;
        io.data = copies.back().data();
        ios.push_back(io);
    }
    // A mirror that can't be read is like one whose pages are damaged: the others count.
    static_cast<void>(run(queue, ios));
    LoadedBands loaded;
    loaded.records.resize(l.bands);
    loaded.generations.resize(l.band_table_pages);
    for (std::uint64_t page = 0; page < l.band_table_pages; ++page) {
        std::optional<BandPage> best;
        for (std::size_t i = 0; i < copies.size(); ++i) {
            for (std::uint32_t copy = 0; copy < 2; ++copy) {
                BandPage seen(copies[i].data() + (page * 2 + copy) * kBlockBytes);
                if (ios[i].error_number != 0 || !seen.valid(array.array, page) || !seen.fits(l))
                    continue;
                if (!best || seen.header().generation > best->header().generation) best = seen;
            }
        }
        if (!best) {
            return fail(
                Errc::damaged,
                "{} at offset {}: page {} of the band table is damaged, in both copies and on "
                "every "
                "scm drive: which bands are in use is not known, so the array can't be opened",
                array.scm[0]->path(), l.band_page_offset(page, 0), page);
        }
        loaded.generations[page] = best->header().generation;
        for (std::uint32_t i = 0; i < kBandsPerPage; ++i) {
            const std::uint64_t band = page * kBandsPerPage + i;
            if (band < l.bands) loaded.records[band] = best->records()[i];
        }
    }
    return loaded;
}

}  // namespace qlcshape
