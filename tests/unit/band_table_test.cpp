// SPDX-License-Identifier: Apache-2.0
// The life of bands, and who may use the free ones.
#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "band/band_table.h"
#include "band/space_gate.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

ArrayLayout bands_layout(std::uint32_t strips_per_band = 8, std::uint32_t bands = 40) {
    ArrayLayout l = small_layout({.strips_per_band = strips_per_band, .bands = bands});
    REQUIRE(l.bands == bands);
    return l;
}

// A table in which every band is free.
struct Table {
    ArrayLayout layout;
    BandTable bands{layout};

    explicit Table(ArrayLayout l = bands_layout()) : layout(std::move(l)) {
        for (std::uint32_t i = 0; i < layout.bands; ++i) bands.restore(BandId(i), BandRecord{});
    }
    BandId open(Stream stream, std::uint64_t epoch = 1) {
        const auto id = bands.begin_open(stream, epoch);
        REQUIRE(id);
        bands.opened(*id);
        return *id;
    }
    Placement place(Stream stream = Stream::user) {
        const auto placement = bands.place(stream);
        REQUIRE(placement);
        return *placement;
    }
    void commit(const Placement& p, std::uint32_t tombstones = 0) {
        REQUIRE(bands.my_turn(p));
        bands.submitted(p);
        bands.durable(p);
        REQUIRE(bands.settled(p));
        bands.published(p, tombstones);
    }
    BandId fill(Stream stream = Stream::user) {
        const BandId id = open(stream);
        for (std::uint32_t i = 0; i < layout.segments_per_band; ++i) commit(place(stream));
        return id;
    }
    // As GC and the keeper do.
    void free(BandId id) {
        bands.begin_move(id);
        bands.moved(id);
        const auto next = bands.next_moved();
        REQUIRE(next == id);
        bands.erased(id);
    }
    std::map<std::uint32_t, Candidate> candidates() const {
        std::map<std::uint32_t, Candidate> all;
        bands.candidates([&](const Candidate& c) { all.emplace(c.band.value, c); });
        return all;
    }
    BandState state(BandId id) const { return bands.record_of(id).state; }
};

}  // namespace

TEST_CASE("band table: from free over open and closed and erasing to free") {
    Table t;
    unsigned alarms = 0;
    t.bands.set_alarm([&] { ++alarms; });
    CHECK(t.bands.free_bands() == 40);
    CHECK(t.bands.wants_band(Stream::user));
    CHECK_FALSE(t.bands.place(Stream::user));

    const BandId id = *t.bands.begin_open(Stream::user, 7);
    CHECK(t.state(id) == BandState::open);
    CHECK(t.bands.free_bands() == 39);
    CHECK_FALSE(t.bands.wants_band(Stream::user));
    CHECK(t.bands.wants_band(Stream::gc));
    CHECK_FALSE(t.bands.place(Stream::user));  // its record is not durable yet
    t.bands.opened(id);

    for (std::uint32_t i = 0; i < 8; ++i) {
        CHECK(t.candidates().empty());
        const Placement p = t.place();
        CHECK(p.band == id);
        CHECK(p.segment == i);
        CHECK(p.sequence == t.bands.sequence_of(id));
        CHECK(p.frontier == i);
        t.commit(p, i == 3 ? 2 : 0);
        for (int n = 0; n < 10; ++n) t.bands.add_valid(id);
    }
    CHECK(alarms > 0);
    CHECK(t.state(id) == BandState::closed);
    CHECK(t.bands.segments_of(id) == 8);
    const BandRecord record = t.bands.record_of(id);
    CHECK(record.segments == 8);
    CHECK(record.epoch == 7);
    CHECK(record.valid == 80);
    CHECK(record.tombstones == 2);

    t.bands.drop_valid(id);
    auto seen = t.candidates();
    REQUIRE(seen.size() == 1);
    CHECK(seen.at(id.value).valid == 79);
    CHECK(seen.at(id.value).tombstones == 2);
    CHECK(seen.at(id.value).sequence == t.bands.sequence_of(id));

    t.bands.begin_move(id);
    CHECK(t.candidates().empty());
    t.bands.abandon_move(id);
    CHECK(t.candidates().size() == 1);
    t.bands.begin_move(id);
    t.bands.begin_read(id);
    CHECK(t.bands.has_readers(id));
    t.bands.end_read(id);
    CHECK_FALSE(t.bands.has_readers(id));
    t.bands.moved(id);
    CHECK(t.state(id) == BandState::erasing);
    CHECK(t.bands.free_bands() == 39);
    REQUIRE(t.bands.next_moved() == id);
    CHECK_FALSE(t.bands.next_moved());
    t.bands.erased(id);
    CHECK(t.state(id) == BandState::free);
    CHECK(t.bands.free_bands() == 40);
    CHECK(t.candidates().empty());
}

TEST_CASE("band table: places are submitted in order and settle in order") {
    Table t;
    t.open(Stream::user);
    const Placement a = t.place();
    const Placement b = t.place();
    const Placement c = t.place();
    CHECK(t.bands.my_turn(a));
    CHECK_FALSE(t.bands.my_turn(b));
    t.bands.submitted(a);
    CHECK(t.bands.my_turn(b));
    t.bands.submitted(b);
    t.bands.submitted(c);
    t.bands.durable(c);
    CHECK_FALSE(t.bands.settled(c));
    CHECK(t.bands.user_frontier().frontier == 0);
    t.bands.durable(a);
    CHECK(t.bands.settled(a));
    CHECK_FALSE(t.bands.settled(b));
    CHECK_FALSE(t.bands.settled(c));
    CHECK(t.bands.record_of(a.band).segments == 1);
    t.bands.durable(b);
    CHECK(t.bands.settled(b));
    CHECK(t.bands.settled(c));
    CHECK(t.bands.user_frontier().frontier == 3);
    CHECK(t.bands.user_frontier().band == a.band);
    CHECK(t.bands.user_frontier().sequence == a.sequence);
    CHECK(t.place().frontier == 3);
}

TEST_CASE("band table: no more than 64 places wait to be published") {
    Table t(bands_layout(256));
    t.open(Stream::user);
    std::vector<Placement> places;
    for (int i = 0; i < 64; ++i) places.push_back(t.place());
    CHECK_FALSE(t.bands.place(Stream::user));
    for (std::size_t i = places.size(); i-- > 1;) t.bands.durable(places[i]);
    CHECK_FALSE(t.bands.place(Stream::user));
    t.bands.durable(places[0]);
    CHECK(t.bands.settled(places[63]));
    CHECK_FALSE(t.bands.place(Stream::user));
    for (std::size_t i = places.size(); i-- > 1;) t.bands.published(places[i], 0);
    CHECK_FALSE(t.bands.place(Stream::user));
    t.bands.published(places[0], 0);
    CHECK(t.place().segment == 64);
}

TEST_CASE("band table: closed only when the last is published") {
    Table t;
    const BandId id = t.open(Stream::user);
    std::vector<Placement> places;
    for (int i = 0; i < 8; ++i) {
        places.push_back(t.place());
        t.bands.submitted(places.back());
        t.bands.durable(places.back());
    }
    CHECK_FALSE(t.bands.place(Stream::user));
    for (const Placement& p : places) {
        CHECK(t.state(id) == BandState::open);
        t.bands.published(p, 0);
    }
    CHECK(t.state(id) == BandState::closed);
}

TEST_CASE("band table: streams have bands of their own, and the next one in reserve") {
    Table t;
    const BandId user = t.open(Stream::user);
    const BandId gc = t.open(Stream::gc);
    CHECK(user != gc);
    CHECK(t.place(Stream::user).band == user);
    CHECK(t.place(Stream::gc).band == gc);
    CHECK(t.bands.sequence_of(gc) == t.bands.sequence_of(user) + 1);
    // Wanted when two places are left, but for the one that is being opened.
    for (int i = 1; i < 6; ++i) {
        CHECK_FALSE(t.bands.wants_band(Stream::user));
        t.place();
    }
    CHECK(t.bands.wants_band(Stream::user));
    const BandId next = *t.bands.begin_open(Stream::user, 1);
    CHECK_FALSE(t.bands.wants_band(Stream::user));
    t.bands.opened(next);
    CHECK_FALSE(t.bands.wants_band(Stream::user));
    CHECK(t.place().band == user);
    CHECK(t.place().band == user);
    CHECK(t.place().band == next);
    CHECK(t.bands.counts().open == 3);
    CHECK(t.bands.counts().free == 37);
}

TEST_CASE("band table: a failed write voids its place and all later ones of the band") {
    Table t;
    const BandId id = t.open(Stream::user);
    const Placement a = t.place();
    const Placement b = t.place();
    const Placement c = t.place();
    for (const Placement& p : {a, b, c}) t.bands.submitted(p);
    t.bands.durable(a);
    t.bands.published(a, 0);
    CHECK(t.state(id) == BandState::open);
    t.bands.durable(c);
    t.bands.write_failed(b);
    CHECK_FALSE(t.bands.void_place(a));
    CHECK(t.bands.void_place(b));
    CHECK(t.bands.void_place(c));
    CHECK_FALSE(t.bands.settled(c));
    // What is before it stays, the band takes nothing more, and the stream goes on in another one.
    CHECK(t.bands.settled(a));
    CHECK(t.state(id) == BandState::open);
    t.bands.left(b);
    CHECK(t.state(id) == BandState::open);
    t.bands.left(c);
    CHECK(t.state(id) == BandState::closed);
    CHECK(t.bands.segments_of(id) == 1);
    CHECK(t.bands.record_of(id).segments == 1);
    CHECK(t.candidates().size() == 1);
    CHECK(t.bands.wants_band(Stream::user));
    CHECK_FALSE(t.bands.place(Stream::user));
    const BandId other = t.open(Stream::user);
    CHECK(t.place().band == other);
}

TEST_CASE("band table: after a failed write earlier places still have to be published") {
    Table t;
    const BandId id = t.open(Stream::user);
    const Placement a = t.place();
    const Placement b = t.place();
    t.bands.submitted(a);
    t.bands.submitted(b);
    t.bands.write_failed(b);
    t.bands.left(b);
    CHECK(t.state(id) == BandState::open);
    t.bands.durable(a);
    t.bands.published(a, 1);
    CHECK(t.state(id) == BandState::closed);
    CHECK(t.bands.segments_of(id) == 1);
}

TEST_CASE("band table: a freed band starts anew with a new sequence") {
    Table t;
    const BandId id = t.open(Stream::user);
    const std::uint64_t sequence = t.bands.sequence_of(id);
    const Placement failed = t.place();
    t.bands.write_failed(failed);
    t.bands.left(failed);
    CHECK(t.bands.segments_of(id) == 0);
    t.free(id);
    std::map<std::uint32_t, std::uint64_t> opened;
    while (const auto next = t.bands.begin_open(Stream::user, 2)) {
        t.bands.opened(*next);
        CHECK_FALSE(opened.contains(next->value));
        opened[next->value] = t.bands.sequence_of(*next);
        CHECK(t.place().band == *next);
        CHECK_FALSE(t.bands.void_place({*next, 0, 0, 0}));
        for (int i = 1; i < 8; ++i) t.place();
    }
    CHECK(opened.size() == 40);
    CHECK(opened.at(id.value) > sequence);
    // The band that was free the shortest came last.
    for (const auto& [band, s] : opened) CHECK(s <= opened.at(id.value));
    CHECK(t.bands.free_bands() == 0);
}

TEST_CASE("band table: restored and resumed after a clean close") {
    const ArrayLayout layout = bands_layout();
    BandTable bands(layout);
    auto record = [](BandState state, std::uint64_t sequence, std::uint32_t segments,
                     Stream stream) {
        BandRecord r;
        r.state = state;
        r.sequence = sequence;
        r.segments = segments;
        r.stream = static_cast<std::uint8_t>(stream);
        r.valid = 5 * segments;
        return r;
    };
    const std::vector<BandRecord> records = {
        record(BandState::closed, 1, 8, Stream::user), record(BandState::open, 4, 0, Stream::user),
        record(BandState::open, 3, 5, Stream::user), record(BandState::open, 5, 2, Stream::gc),
        record(BandState::erasing, 2, 8, Stream::gc)};
    for (std::uint32_t i = 0; i < layout.bands; ++i) {
        bands.restore(BandId(i), i < records.size() ? records[i] : BandRecord{});
    }
    bands.set_next_sequence(6);
    for (const std::uint32_t i : {1u, 2u, 3u}) bands.resume(BandId(i));
    CHECK(bands.free_bands() == 35);
    REQUIRE(bands.next_moved() == BandId(4));
    // The band that holds something is filled first.
    const auto user = bands.place(Stream::user);
    REQUIRE(user);
    CHECK(user->band == BandId(2));
    CHECK(user->segment == 5);
    CHECK(user->frontier == 5);
    CHECK(bands.my_turn(*user));
    CHECK_FALSE(bands.wants_band(Stream::user));
    const auto gc = bands.place(Stream::gc);
    REQUIRE(gc);
    CHECK(gc->band == BandId(3));
    CHECK(gc->segment == 2);
    bands.set_counts(BandId(0), 17, 3, false);
    CHECK(bands.record_of(BandId(0)).valid == 17);
    CHECK(bands.record_of(BandId(0)).tombstones == 3);
    CHECK(bands.record_of(BandId(2)).valid == 25);
    CHECK(bands.sequence_of(*bands.begin_open(Stream::gc, 1)) == 6);
    CHECK(bands.next_sequence() == 7);
}

TEST_CASE("band table: what a snapshot may count on as published") {
    Table t;
    const BandId id = t.open(Stream::user);
    std::vector<Placement> places;
    for (int i = 0; i < 4; ++i) places.push_back(t.place());
    for (const Placement& p : places) {
        t.bands.submitted(p);
        t.bands.durable(p);
    }
    auto published = [&] {
        Snapshot now;
        t.bands.published_now(now);
        REQUIRE(now.open.size() == 1);
        CHECK(now.open[0].band == id.value);
        CHECK(now.open[0].sequence == places[0].sequence);
        CHECK(now.next_band_sequence == places[0].sequence + 1);
        return now.open[0].published;
    };
    // Another shard is ahead: what lies behind a gap does not count yet.
    t.bands.published(places[1], 0);
    t.bands.published(places[3], 0);
    CHECK(published() == 0);
    t.bands.published(places[0], 0);
    CHECK(published() == 2);
    t.bands.published(places[2], 0);
    CHECK(published() == 4);
    for (std::uint32_t i = 4; i < t.layout.segments_per_band; ++i) t.commit(t.place());
    Snapshot closed;
    t.bands.published_now(closed);
    CHECK(closed.open.empty());
    CHECK(t.bands.placed() == t.layout.segments_per_band);
}

TEST_CASE("band table: a valid count that was too low stays at none") {
    Table t;
    const BandId id = t.fill();
    t.bands.add_valid(id);
    t.bands.drop_valid(id);
    t.bands.drop_valid(id);
    CHECK(t.bands.record_of(id).valid == 0);
}

TEST_CASE("band table: what recovery closed is open on media until its epoch has begun") {
    const ArrayLayout layout = bands_layout();
    BandTable bands(layout);
    BandRecord on_media;
    on_media.state = BandState::open;
    on_media.sequence = 9;
    on_media.segments = 2;
    BandRecord decided = on_media;
    decided.state = BandState::closed;
    decided.segments = 5;
    bands.restore_decided(BandId(3), decided, on_media);
    CHECK(bands.record_of(BandId(3)).state == BandState::closed);
    CHECK(bands.record_of(BandId(3)).segments == 5);
    CHECK(bands.media_record_of(BandId(3)).state == BandState::open);
    CHECK(bands.media_record_of(BandId(3)).segments == 2);
    bands.epoch_begun();
    CHECK(bands.media_record_of(BandId(3)).state == BandState::closed);
    CHECK(bands.media_record_of(BandId(3)).segments == 5);
}
