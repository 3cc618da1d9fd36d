// SPDX-License-Identifier: Apache-2.0
// A page of the band table: what counts can be restored, resumed and appended to.
#include "format/band_page.h"

#include "band/band_table.h"
#include "base/buffer.h"
#include "gc/policy.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    fuzz::Input input(data, size);
    const auto mode = input.take<std::uint8_t>();
    const ArrayLayout& l = fuzz::layout_for(mode);
    Buffer memory(kBlockBytes);
    input.take(memory.span());
    BandPage page(l, memory.data());
    if ((mode & fuzz::kSeal) != 0) page.seal(fuzz::array_uuid(), 0, page.header().generation);
    if (!page.valid(fuzz::array_uuid(), 0) || !page.fits()) return 0;
    BandTable bands(l);
    for (std::uint32_t i = 0; i < std::min(l.bands, l.bands_per_page()); ++i) {
        bands.restore(BandId(i), page.record(i));
    }
    for (std::uint32_t i = 0; i < std::min(l.bands, l.bands_per_page()); ++i) {
        if (page.record(i).state == BandState::open) bands.resume(BandId(i));
    }
    for (const Stream stream : {Stream::user, Stream::gc}) {
        if (const auto place = bands.place(stream)) {
            QS_ASSERT(place->segment < l.segments_per_band && place->frontier <= place->segment);
            QS_ASSERT(bands.my_turn(*place));
        }
    }
    GreedyPolicy policy(l.slots_per_band(), l.bands, bands.next_sequence());
    bands.candidates([&](const Candidate& c) { policy.see(c); });
    if (const auto band = policy.best()) {
        QS_ASSERT(bands.begin_move(*band) && bands.segments_of(*band) <= l.segments_per_band);
    }
    return 0;
}
