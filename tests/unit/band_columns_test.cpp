// SPDX-License-Identifier: Apache-2.0
// A band's columns lie where its record says: on any drives, in any slots, or nowhere.
#include <set>

#include "meta/band_load.h"
#include "meta/keeper.h"
#include "two_mirrors.h"

using namespace qlcshape;

namespace {

// Every band's columns on other drives and in other slots than by default, one or two nowhere; some
// bands were opened with fewer columns.
void mix(Columns& columns, const ArrayLayout& l) {
    for (std::uint32_t band = 0; band < l.bands; ++band) {
        columns.set_rotation(BandId(band), l.width() - band % 3);
        for (std::uint32_t c = 0; c < l.width(); ++c) {
            const std::uint32_t member = (c + band) % l.width();
            const bool nowhere = c == band % 3 || c == band % 5;
            columns.set(BandId(band), c,
                        nowhere ? Column{}
                                : Column{static_cast<std::uint8_t>(member),
                                         kSuperblockUnits + (band + 7 * member) % l.bands});
        }
    }
}

struct BandTablePages : TwoMirrors {
    BandTable bands{array.layout};

    BandTablePages() {
        for (std::uint32_t i = 0; i < array.layout.bands; ++i) {
            BandRecord r;
            r.state = BandState::closed;
            r.sequence = 1 + i;
            bands.restore(BandId(i), r);
        }
    }
    // On both drives, generation 2.
    void write() {
        const ArrayLayout& l = array.layout;
        for (std::uint64_t page = 0; page < l.band_table_pages; ++page) {
            for (Bytes& drive : media)
                encode_band_page(array, bands, page, 2, drive.data() + l.band_page_offset(page, 0));
        }
    }
};

}  // namespace

TEST_CASE("columns: what is written in band records is what an opening finds") {
    BandTablePages t;
    const ArrayLayout& l = t.array.layout;
    REQUIRE(l.band_table_pages > 1);
    mix(*t.array.columns, l);
    t.write();
    const Columns written = *t.array.columns;
    t.array.columns = std::make_shared<Columns>(l);
    const auto loaded = load_band_table(t.array, t.queue);
    REQUIRE(loaded);
    for (std::uint32_t band = 0; band < l.bands; ++band) {
        REQUIRE(loaded->records[band].sequence == 1 + band);
        REQUIRE(t.array.columns->rotation(BandId(band)) == written.rotation(BandId(band)));
        for (std::uint32_t c = 0; c < l.width(); ++c)
            REQUIRE(t.array.columns->of(BandId(band), c) == written.of(BandId(band), c));
    }
}

TEST_CASE("columns: a band table that gives two bands one place is refused") {
    BandTablePages t;
    const std::uint32_t other = t.array.layout.bands - 1;  // in another page
    t.array.columns->set(BandId(other), 1, t.array.columns->of(BandId(3), 1));
    t.write();
    const auto loaded = load_band_table(t.array, t.queue);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == Errc::damaged);
    CHECK(loaded.error().message.find("bands 3 and " + std::to_string(other)) != std::string::npos);
}

TEST_CASE("columns: strips lie where their columns do, and those of none have no drive") {
    ArrayContext array(small_layout());
    const ArrayLayout& l = array.layout;
    mix(*array.columns, l);
    std::vector<std::unique_ptr<Device>> drives;
    for (std::uint32_t i = 0; i < l.p.qlc_count; ++i) {
        drives.push_back(*open_device("memory:columns_" + std::to_string(i), l.p.qlc_bytes,
                                      Access::read_write, true));
        array.qlc.push_back(drives.back().get());
    }
    std::set<std::pair<std::uint32_t, std::uint64_t>> places;
    std::uint32_t nowhere = 0;
    for (std::uint32_t band = 0; band < l.bands; ++band) {
        for (std::uint32_t segment = 0; segment < l.segments_per_band; ++segment) {
            for (std::uint32_t role = 0; role < l.width(); ++role) {
                const Location at = array.locate(BandId(band), segment, role);
                const Io io = array.segment_io(IoKind::read, BandId(band), segment,
                                               role * l.p.strip_bytes, kBlockBytes, nullptr);
                REQUIRE(io.device == array.drive_at(at));
                REQUIRE((io.device == nullptr) == !at.there());
                if (!at.there()) {
                    ++nowhere;
                    continue;
                }
                const Column column = array.columns->of(
                    BandId(band), column_of(l.stripe_number(BandId(band), segment), role,
                                            array.columns->rotation(BandId(band))));
                REQUIRE(at.drive == column.member);
                REQUIRE(io.device == array.qlc[at.drive]);
                REQUIRE(io.offset == column.slot * l.p.band_bytes + segment * l.p.strip_bytes);
                REQUIRE(places.insert({at.drive, at.offset}).second);
            }
        }
    }
    CHECK(nowhere >= l.bands * l.segments_per_band);
}
