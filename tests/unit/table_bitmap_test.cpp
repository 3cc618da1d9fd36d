// SPDX-License-Identifier: Apache-2.0
// An array whose table is not written at create: what counts of it, and what happens without its
// bitmap.
#include "checked_array.h"

using namespace qlcshape;

namespace {

void end(CoreArray& array, bool clean) {
    if (!clean) return array.cut();
    REQUIRE(array.close());
}

void take_snapshot(CoreArray& array) {
    const std::uint64_t before = array.core->stats().pmt.snapshots;
    array.core->ask_snapshot();
    while (array.core->stats().pmt.snapshots == before) array.poll();
}

void lose_bitmap(CoreArray& array, const ArrayLayout& l) {
    for (std::size_t i = 4; i < 6; ++i) {
        for (std::uint64_t place = 0; place < 2; ++place)
            array.media[i][l.bitmap_page_offset(0, place) + 100] ^= std::byte{1};
    }
}

// Full of pages of this array that would be whole, and of blocks that were never written there.
void fill_table(CoreArray& array, const ArrayLayout& l, const Uuid& uuid) {
    for (std::uint64_t n = 0; n < l.pmt_pages; ++n) {
        const std::vector<PmtEntry> entries(kPageEntries,
                                            PmtEntry::make_mapped(l, Pba(n), 0x55555555));
        encode_pmt_page(
            entries.data(), PageId(n), uuid, 1,
            array.media[4 + l.pmt_drive(PageId(n))].data() + l.pmt_page_offset(PageId(n)));
    }
}

}  // namespace

TEST_CASE("table bitmap: create writes no page of the table") {
    CoreArray array;
    REQUIRE(array.open());
    const ArrayLayout l = array.core->layout();
    array.cut();
    for (std::size_t i = 4; i < 6; ++i) {
        CHECK(std::all_of(array.media[i].begin() + static_cast<std::ptrdiff_t>(l.pmt_offset),
                          array.media[i].end(), [](std::byte b) { return b == std::byte{0}; }));
    }
}

TEST_CASE("table bitmap: pages that were never written are not believed, whatever lies there") {
    const bool clean = GENERATE(false, true);
    CAPTURE(clean);
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 4 * MiB));
    const ArrayLayout l = array.core->layout();
    fill_table(array, l, array.core->array().array);
    array.write_blocks(0, 64, 7);
    end(array, clean);
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.kind == (clean ? "clean" : "snapshot"));
    CHECK(array.reads(0, 64, 7));
    CHECK(array.reads(64, 1024 - 64, 0));
    REQUIRE(array.close());
    CHECK(problems_of(array).empty());
}

TEST_CASE("table bitmap: what was written counts after a snapshot, and after a clean close") {
    const bool clean = GENERATE(false, true);
    CAPTURE(clean);
    CoreArray array;
    array.counted_pages = 0;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 4 * MiB));
    for (int i = 0; i < 3; ++i) array.write_blocks(0, 96, 7);
    if (!clean) take_snapshot(array);
    end(array, clean);
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.kind == (clean ? "clean" : "snapshot"));
    CHECK(array.reads(0, 96, 7));
    CHECK(array.reads(96, 1024 - 96, 0));
    array.cut();
}

TEST_CASE("table bitmap: what a recovery wrote counts in the next one") {
    const bool from_headers = GENERATE(false, true);
    CAPTURE(from_headers);
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 4 * MiB));
    array.write_blocks(0, 96, 7);
    array.write_blocks(600, 96, 5);
    from_headers ? array.cut_without_snapshots() : array.cut();
    for (int i = 0; i < 2; ++i) {
        REQUIRE(array.open());
        CHECK(array.core->stats().recovery.kind == (from_headers && i == 0 ? "full" : "snapshot"));
        CHECK(array.reads(0, 96, 7));
        CHECK(array.reads(96, 600 - 96, 0));
        CHECK(array.reads(600, 96, 5));
        array.cut();
    }
}

TEST_CASE("table bitmap: where it is lost the table is built from headers") {
    const bool clean = GENERATE(false, true);
    const bool read_only = GENERATE(false, true);
    CAPTURE(clean, read_only);
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 4 * MiB));
    const ArrayLayout l = array.core->layout();
    const Uuid uuid = array.core->array().array;
    array.write_blocks(0, 200, 7);
    array.trim_blocks(100, 20);
    take_snapshot(array);
    array.write_blocks(600, 100, 5);
    end(array, clean);
    const auto used = [&] { return array.core->stats().space.used_bytes; };
    // Not the pages that were never written either.
    const std::vector<Bytes> before = array.media;
    fill_table(array, l, uuid);
    lose_bitmap(array, l);
    if (clean) {
        REQUIRE(problems_of(array).size() == 1);
        CHECK(problems_of(array)[0].starts_with("scm4 at offset "));
        CHECK(problems_of(array)[0].find("bitmap") != std::string::npos);
    }
    std::string warned;
    array.options.log = [&](LogLevel level, std::string_view text) {
        if (level == LogLevel::warning) warned += text;
    };
    array.options.read_only = read_only;
    const auto look = [&] {
        CHECK(array.reads(0, 100, 7));
        CHECK(array.reads(100, 20, 0));
        CHECK(array.reads(120, 80, 7));
        CHECK(array.reads(200, 400, 0));
        CHECK(array.reads(600, 100, 5));
        CHECK(array.reads(700, 324, 0));
        CHECK(used() >= 180 * kBlockBytes);
        CHECK(used() <= 280 * kBlockBytes);
    };
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.kind == "full");
    CHECK(warned.find("bitmap") != std::string::npos);
    look();
    if (read_only) {
        array.cut();
        array.options.read_only = false;
        REQUIRE(array.open());
        CHECK(array.core->stats().recovery.kind == "full");
        look();
    }
    array.write_blocks(0, 10, 9);
    REQUIRE(array.close());
    CHECK(problems_of(array).empty());
    REQUIRE(array.open());
    CHECK(array.core->stats().recovery.kind == "clean");
    CHECK(array.reads(0, 10, 9));
    array.cut();
}

TEST_CASE("table bitmap: lost after a clean close, and the power goes while the table is built") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", 4 * MiB));
    const ArrayLayout l = array.core->layout();
    array.write_blocks(0, 200, 7);
    array.write_blocks(600, 100, 5);
    REQUIRE(array.close());
    lose_bitmap(array, l);
    const auto point =
        GENERATE(PersistencePoint::table_build_write, PersistencePoint::table_build_flush,
                 PersistencePoint::table_bits_write, PersistencePoint::recovery_snapshot_write);
    CAPTURE(to_string(point));
    array.power.cut_before = [&](const Io& io) { return io.point == point; };
    REQUIRE_FALSE(array.open());
    array.power.cut_before = nullptr;
    REQUIRE(array.open());
    CHECK(array.reads(0, 200, 7));
    CHECK(array.reads(200, 400, 0));
    CHECK(array.reads(600, 100, 5));
    REQUIRE(array.close());
    CHECK(problems_of(array).empty());
}
