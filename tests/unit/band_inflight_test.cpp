// SPDX-License-Identifier: Apache-2.0
// A band that closes early, because of a failed write, while later places of it are still in
// flight.
#include <catch2/catch.hpp>

#include "band/band_table.h"
#include "small_layout.h"

using namespace qlcshape;

TEST_CASE("band table: a band isn't moved while a place of it is still in flight") {
    const ArrayLayout layout = small_layout();
    BandTable bands(layout);
    for (std::uint32_t i = 0; i < layout.bands; ++i) bands.restore(BandId(i), BandRecord{});
    bands.opened(*bands.begin_open(Stream::user, 1));
    const Placement a = *bands.place(Stream::user);
    const Placement b = *bands.place(Stream::user);
    const Placement c = *bands.place(Stream::user);
    bands.submitted(a);
    bands.submitted(b);
    bands.durable(a);
    bands.published(a, 0);
    // Its owner, another thread, has not come to c: neither submitted nor told that it is void.
    bands.write_failed(b);
    unsigned seen = 0;
    bands.candidates([&](const Candidate&) { ++seen; });
    CHECK(seen == 0);
    // c's owner comes late: all of the band has been moved, erased and opened anew, and c's turn
    // never comes, or comes in the band's next life.
    CHECK(bands.void_place(c));
    bands.submitted(c);
}
