// SPDX-License-Identifier: Apache-2.0
// A band that closes early, because of a failed write, while later places of it are still in
// flight.
#include <catch2/catch.hpp>

#include "band/band_table.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// An open band of the user stream with three places in flight.
struct Placed {
    ArrayLayout layout = small_layout();
    BandTable bands{layout};
    Placement a, b, c;

    Placed() {
        for (std::uint32_t i = 0; i < layout.bands; ++i) bands.restore(BandId(i), BandRecord{});
        bands.opened(*bands.begin_open(Stream::user, 1));
        for (Placement* p : {&a, &b, &c}) *p = *bands.place(Stream::user);
    }
};

}  // namespace

TEST_CASE("band table: a band isn't moved while a place of it is still in flight") {
    Placed placed;
    auto& [layout, bands, a, b, c] = placed;
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

TEST_CASE("band table: open bands that are ended keep what is settled, and no more") {
    Placed placed;
    auto& [layout, bands, a, b, c] = placed;
    for (const Placement& p : {a, b, c}) bands.submitted(p);
    bands.durable(a);
    bands.durable(c);  // before b
    const BandId reserve = *bands.begin_open(Stream::user, 1);
    bands.opened(reserve);
    const BandId other = *bands.begin_open(Stream::gc, 1);
    bands.opened(other);
    const Placement moved = *bands.place(Stream::gc);
    const BandId on_the_way = *bands.begin_open(Stream::gc, 1);

    bands.end_open([&](BandId band) { return band != other; });
    CHECK(bands.settled(a));
    CHECK_FALSE(bands.void_place(a));
    CHECK(bands.void_place(b));
    CHECK(bands.void_place(c));
    bands.durable(b);  // too late: not even now that there is no gap
    CHECK_FALSE(bands.settled(b));
    CHECK_FALSE(bands.settled(c));
    CHECK_FALSE(bands.void_place(moved));
    CHECK(bands.place(Stream::gc)->band == other);
    // Where the one lies that is being opened nobody knows: it is ended, too.
    bands.opened(on_the_way);
    CHECK_FALSE(bands.place(Stream::user));
    CHECK(bands.wants_band(Stream::user));
    bands.left(b);
    bands.left(c);
    CHECK(bands.record_of(a.band).state == BandState::open);
    bands.published(a, 0);
    CHECK(bands.record_of(a.band).state == BandState::closed);
    CHECK(bands.segments_of(a.band) == 1);
    for (const BandId band : {reserve, on_the_way}) {
        CHECK(bands.record_of(band).state == BandState::closed);
        CHECK(bands.segments_of(band) == 0);
    }
}

TEST_CASE("band table: what could not be erased is erased again") {
    const ArrayLayout layout = small_layout();
    BandTable bands(layout);
    BandRecord record;
    record.state = BandState::erasing;
    bands.restore(BandId(0), record);
    REQUIRE(bands.next_moved() == BandId(0));
    bands.not_erased(BandId(0));
    CHECK(bands.out_of_use() == 1);
    CHECK_FALSE(bands.next_moved());
    bands.erase_again();
    bands.erase_again();
    CHECK(bands.out_of_use() == 0);
    CHECK(bands.next_moved() == BandId(0));
    CHECK_FALSE(bands.next_moved());
}
