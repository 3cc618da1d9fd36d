// SPDX-License-Identifier: Apache-2.0
#include "meta/band_load.h"

#include <optional>

#include "base/buffer.h"

namespace qlcshape {

namespace {

// Two bands in one place would overwrite each other. Each page is whole, so this is not damage to
// one: an older version of a page stands in for a newer one that is lost on every drive, and says
// of a band what was so before the other was opened. Which of them has the place is not known.
Status refuse_shared_slots(const ArrayContext& array, const std::vector<BandRecord>& records) {
    const ArrayLayout& l = array.layout;
    std::vector<std::uint32_t> owners(std::size_t{l.p.qlc_count} * l.drive_slots(), UINT32_MAX);
    for (std::uint32_t band = 0; band < l.bands; ++band) {
        if (!records[band].has_columns()) continue;
        for (std::uint32_t c = 0; c < l.width(); ++c) {
            const Column place = array.columns->of(BandId(band), c);
            if (!place.there()) continue;
            std::uint32_t& owner = owners[std::size_t{place.member} * l.drive_slots() + place.slot];
            if (owner != UINT32_MAX) {
                return fail(Errc::damaged,
                            "the band table is damaged: bands {} and {} both have the place at "
                            "offset {} of qlc drive {}, so the array can't be opened",
                            owner, band, l.slot_offset(place.slot), place.member);
            }
            owner = band;
        }
    }
    return {};
}

}  // namespace

Result<LoadedBands> load_band_table(const ArrayContext& array, IoQueue& queue) {
    const ArrayLayout& l = array.layout;
    const std::uint64_t bytes = l.band_table_pages * 2 * kBlockBytes;
    std::vector<Buffer> copies;
    std::vector<Io> ios;
    for (Device* scm : array.scm_in()) {
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
                BandPage seen(l, copies[i].data() + (page * 2 + copy) * kBlockBytes);
                if (ios[i].error_number != 0 || !seen.valid(array.array, page) || !seen.fits())
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
                array.an_scm_drive().path(), l.band_page_offset(page, 0), page);
        }
        loaded.generations[page] = best->header().generation;
        for (std::uint32_t i = 0; i < l.bands_per_page(); ++i) {
            const std::uint64_t band = page * l.bands_per_page() + i;
            if (band >= l.bands) break;
            loaded.records[band] = best->record(i);
            if (!loaded.records[band].has_columns()) continue;
            const BandId id(static_cast<std::uint32_t>(band));
            array.columns->set_rotation(id, best->record(i).rotation);
            for (std::uint32_t c = 0; c < l.width(); ++c)
                array.columns->set(id, c, best->column(i, c));
        }
    }
    QS_TRY(refuse_shared_slots(array, loaded.records));
    array.columns->free_all();
    for (std::uint32_t band = 0; band < l.bands; ++band) {
        if (loaded.records[band].has_columns()) array.columns->take(BandId(band));
    }
    return loaded;
}

}  // namespace qlcshape
