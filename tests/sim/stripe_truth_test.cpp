// SPDX-License-Identifier: Apache-2.0
// The judge of redundancy, on one segment that is made here: what it finds wrong is what was
// damaged.
#include "sim/stripe_truth.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "engine/format_array.h"
#include "format/band_page.h"
#include "format/segment_header.h"
#include "meta/superblock_store.h"
#include "raid6/parity.h"
#include "sim/sim_world.h"

using namespace qlcshape;
using namespace qlcshape::sim;

namespace {

constexpr std::uint32_t kStrips = 4;
constexpr std::uint64_t kStripBytes = 64 * KiB;

// Segment 1 of band 3, half full; the band table has it or not.
struct OneSegment {
    World world{1};
    std::vector<Media*> media;
    ArrayLayout l;
    Uuid array;
    BandRecord record;
    FaultCounts counts;

    OneSegment() {
        Options options;
        options.name = "sim";
        options.data_strips = kStrips;
        options.strip_bytes = kStripBytes;
        options.band_bytes = 4 * kStripBytes;
        options.overprovision = 0.3;
        for (std::uint32_t i = 0; i < kStrips + 4; ++i) {
            const bool qlc = i < kStrips + 2;
            media.push_back(&world.add(qlc ? "qlc" : "scm", 16 * MiB, false, true));
            media.back()->qlc = qlc;
            options.devices.push_back({qlc ? Role::qlc : Role::scm, "", 0});
        }
        IoQueue queue;
        queue.set_idle([this] { world.step(); });
        auto drives = devices();
        REQUIRE(format_array(options, drives, false, world.random(), queue));
        const auto discovery = discover(devices(), {}, queue);
        REQUIRE(discovery);
        l = context_of(*discovery).layout;
        array = discovery->superblock.array;
        record.sequence = 77;
        record.state = BandState::closed;
        record.segments = 2;
        record.data_columns = kStrips;
        record.rotation = kStrips + 2;
        write_record();
        write_segment(0);
        write_segment(1);
    }

    std::vector<std::unique_ptr<Device>> devices() {
        std::vector<std::unique_ptr<Device>> list;
        for (Media* m : media) list.push_back(world.device(*m));
        return list;
    }

    void write_record() {
        for (std::uint64_t generation = 2; generation < 4; ++generation) {
            BandPage page(l, media.back()->bytes.get() + l.band_page_offset(0, generation % 2));
            page.record(3) = record;
            for (std::uint32_t c = 0; c < l.width(); ++c)
                page.set_column(3, c, {static_cast<std::uint8_t>(c), kSuperblockUnits + 3});
            page.seal(array, 0, generation);
        }
    }

    void write_segment(std::uint32_t segment) {
        Buffer bytes(l.width() * kStripBytes);
        SegmentHeader header(l, bytes.data());
        header.fixed().band = 3;
        header.fixed().segment = segment;
        header.fixed().band_sequence = record.sequence;
        header.fixed().array = array;
        header.fixed().frontier = segment;
        header.fixed().min_version = header.fixed().max_version = 1;
        for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
            std::byte* block = bytes.data() + l.slot_byte(slot);
            const bool data = slot < l.slots_per_segment / 2;
            for (std::size_t i = 0; data && i < kBlockBytes; i += 8) {
                const std::uint64_t word = world.random().next();
                std::memcpy(block + i, &word, sizeof(word));
            }
            const std::uint32_t crc = crc32c({block, kBlockBytes});
            header.set_entry(slot, data ? Entry{EntryKind::data, Lba(slot), Version(1), crc}
                                        : Entry{EntryKind::empty, {}, {}, crc});
        }
        header.seal();
        std::vector<std::byte*> strips;
        for (std::uint32_t role = 0; role < l.width(); ++role)
            strips.push_back(bytes.data() + role * kStripBytes);
        compute_parity(strips, kStripBytes);
        for (std::uint32_t role = 0; role < l.width(); ++role)
            std::memcpy(block(segment, role, 0), strips[role], kStripBytes);
    }

    std::byte* block(std::uint32_t segment, std::uint32_t role, std::uint32_t row) {
        const Location place = ArrayContext(l).locate(BandId(3), segment, role);
        return media[place.drive]->bytes.get() + place.offset + row * kBlockBytes;
    }
    void flip(std::uint32_t role, std::uint32_t row) { block(1, role, row)[100] ^= std::byte{4}; }
    void make_unreadable(std::uint32_t role, std::uint32_t row) {
        const Location place = ArrayContext(l).locate(BandId(3), 1, role);
        media[place.drive]->note_damage(place.offset + row * kBlockBytes, kBlockBytes,
                                        Fault::unreadable, counts);
    }
    std::vector<BandTruth> bands() { return StripeTruth(l, media).bands(); }
    SegmentTruth look(std::uint32_t segment = 1) {
        return StripeTruth(l, media).look(bands().at(0), segment);
    }
};

using Roles = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("stripe truth: a strip is wrong with any block that was not written so, or not read") {
    OneSegment a;
    REQUIRE(a.look(0).right());
    REQUIRE(a.look().right());
    const std::uint32_t role = GENERATE(range(0u, kStrips + 2));
    const std::uint32_t row = GENERATE(0u, 7u);
    SECTION("a bit") { a.flip(role, row); }
    SECTION("unreadable") { a.make_unreadable(role, row); }
    SECTION("all of it") { std::memset(a.block(1, role, 0), 0xee, kStripBytes); }
    const SegmentTruth found = a.look();
    CHECK_FALSE(found.lost);
    CHECK(found.wrong == Roles{role});
    CHECK(a.look(0).right());
}

TEST_CASE("stripe truth: two strips of a row can be had from the others, three can't") {
    OneSegment a;
    const std::uint32_t row = GENERATE(0u, 3u);
    const std::uint32_t first = GENERATE(range(0u, kStrips + 1));
    const std::uint32_t second = GENERATE_COPY(range(first + 1, kStrips + 2));
    a.flip(first, row);
    a.make_unreadable(second, row);
    CHECK_FALSE(a.look().lost);
    CHECK(a.look().wrong == Roles{first, second});
    const std::uint32_t third = first == 0 ? second == 1 ? 2 : 1 : 0;
    Roles all{first, second, third};
    std::ranges::sort(all);
    SECTION("in another row") {
        a.flip(third, row + 1);
        CHECK_FALSE(a.look().lost);
        CHECK(a.look().wrong == all);
    }
    SECTION("in the same row") {
        a.flip(third, row);
        CHECK(a.look().lost);
    }
}

TEST_CASE("stripe truth: what counts is below the highest frontier, in bands that count") {
    OneSegment a;
    CHECK(a.bands().at(0).segments == 2);
    a.record.segments = 0;
    SECTION("a closed band has what the table says") {
        a.write_record();
        CHECK(a.bands().at(0).segments == 0);
    }
    SECTION("an open one at least what its headers say") {
        a.record.state = BandState::open;
        a.write_record();
        CHECK(a.bands().at(0).segments == 1);
        CHECK(a.bands().at(0).in_table == 0);
        CHECK(StripeTruth(a.l, a.media).has_header(a.bands().at(0), 1));
    }
    SECTION("an earlier life of the band says nothing") {
        a.record.state = BandState::open;
        ++a.record.sequence;
        a.write_record();
        CHECK(a.bands().at(0).segments == 0);
    }
    SECTION("one that is erased has none") {
        a.record.state = BandState::erasing;
        a.write_record();
        CHECK(a.bands().empty());
    }
}

TEST_CASE("stripe truth: P and Q are those of src/raid6, and give any two blocks back") {
    constexpr std::uint32_t k = 6;
    Random random(5);
    Buffer bytes((k + 2) * kBlockBytes);
    std::vector<std::byte*> strips;
    for (std::uint32_t role = 0; role < k + 2; ++role)
        strips.push_back(bytes.data() + role * kBlockBytes);
    for (std::size_t i = 0; i < k * kBlockBytes; i += 8) {
        const std::uint64_t word = random.next();
        std::memcpy(bytes.data() + i, &word, sizeof(word));
    }
    compute_parity(strips, kBlockBytes);
    const auto same = [&](std::uint32_t role, const BlockBytes& block) {
        return std::memcmp(strips[role], block.data(), kBlockBytes) == 0;
    };
    BlockBytes p, q, a, b;
    std::vector<const std::byte*> data(strips.begin(), strips.begin() + k);
    parity_of(data, p, q);
    CHECK(same(k, p));
    CHECK(same(k + 1, q));
    for (std::uint32_t first = 0; first < k; ++first) {
        data[first] = nullptr;
        parity_of(data, p, q);
        solve_by_p(strips[k], p, a);
        solve_by_q(strips[k + 1], q, first, b);
        CHECK(same(first, a));
        CHECK(same(first, b));
        for (std::uint32_t second = first + 1; second < k; ++second) {
            data[second] = nullptr;
            parity_of(data, p, q);
            solve_two(strips[k], strips[k + 1], p, q, first, second, a, b);
            CHECK(same(first, a));
            CHECK(same(second, b));
            data[second] = strips[second];
        }
        data[first] = strips[first];
    }
}
