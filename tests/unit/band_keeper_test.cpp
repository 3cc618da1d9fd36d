// SPDX-License-Identifier: Apache-2.0
// What has to be durable before a band is used or erased, transfer by transfer.
#include "meta/keeper.h"
#include "small_layout.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace qlcshape;

namespace {

// Keeps each transfer until it is told how it ended.
class HeldDrive final : public Device {
  public:
    explicit HeldDrive(const std::string& name) : Device(name, Geometry{256 * MiB}) {}
    void start(Io& io, IoQueue& queue) override { held.push_back({&io, &queue}); }
    bool holds(IoKind kind) const { return !held.empty() && held.front().io->kind == kind; }
    void end_one(int error_number = 0) {
        const Held h = held.front();
        held.pop_front();
        h.queue->complete(*h.io, error_number);
    }
    void end_all() {
        while (!held.empty()) end_one();
    }
    struct Held {
        Io* io;
        IoQueue* queue;
    };
    std::deque<Held> held;
};

struct Kept {
    ArrayContext array;
    std::vector<std::unique_ptr<HeldDrive>> qlc, scm;
    IoQueue queue;
    Counters counters;
    std::unique_ptr<BandTable> bands;
    std::unique_ptr<SpaceGate> gate;
    std::unique_ptr<BandKeeper> keeper;

    explicit Kept(const SmallArray& shape = {.strips_per_band = 4},
                  const std::function<BandRecord(std::uint32_t)>& record_of = {}) {
        array = ArrayContext(small_layout(shape));
        const ArrayLayout& l = array.layout;
        array.epoch = 5;
        for (int i = 0; i < 4; ++i) {
            qlc.push_back(std::make_unique<HeldDrive>("qlc" + std::to_string(i)));
            array.qlc.push_back(qlc.back().get());
        }
        for (int i = 0; i < 2; ++i) {
            scm.push_back(std::make_unique<HeldDrive>("scm" + std::to_string(i)));
            array.scm.push_back(scm.back().get());
        }
        // What bands get is known to be empty.
        for (std::uint8_t drive = 0; drive < l.p.qlc_count; ++drive) {
            for (std::uint32_t slot = kSuperblockUnits; slot < l.drive_slots(); ++slot)
                array.columns->set_erased({drive, slot});
        }
        bands = std::make_unique<BandTable>(array.layout);
        for (std::uint32_t i = 0; i < l.bands; ++i) {
            const BandRecord record = record_of ? record_of(i) : BandRecord{};
            bands->restore(BandId(i), record);
            if (record.has_columns()) array.columns->take(BandId(i));
        }
        gate = std::make_unique<SpaceGate>(array.layout, *bands);
        gate->start();
        keeper = std::make_unique<BandKeeper>(array, *bands, *gate,
                                              std::vector<std::uint64_t>(l.band_table_pages, 6),
                                              queue, counters);
    }
    ~Kept() {
        for (int i = 0; i < 100; ++i) end_round(scm), end_round(qlc);
    }
    void poll() {
        for (int i = 0; i < 10; ++i) {
            queue.poll();
            keeper->poll();
        }
    }
    void end_round(std::vector<std::unique_ptr<HeldDrive>>& drives) {
        for (auto& d : drives) d->end_all();
        poll();
    }
    bool all_hold(IoKind kind) const {
        return std::ranges::all_of(scm, [&](const auto& d) { return d->holds(kind); });
    }
    bool nothing_held() const {
        const auto empty = [](const auto& d) { return d->held.empty(); };
        return std::ranges::all_of(scm, empty) && std::ranges::all_of(qlc, empty);
    }
    // Both streams' first and second bands are open.
    void open_bands() {
        for (int i = 0; i < 10; ++i) {
            poll();
            end_round(scm);
        }
        REQUIRE(keeper->idle());
        REQUIRE(nothing_held());
    }
    // Before the keeper has done anything: full ones, of the user stream.
    std::vector<BandId> closed_bands(std::uint32_t count) {
        std::vector<BandId> list;
        for (; count != 0; --count) {
            list.push_back(*bands->begin_open(Stream::user, array.epoch));
            REQUIRE(array.columns->choose(list.back(), array.drives_in()));
            bands->opened(list.back());
            for (std::uint32_t i = 0; i < array.layout.segments_per_band; ++i) {
                const auto p = bands->place(Stream::user);
                REQUIRE(p);
                bands->submitted(*p);
                bands->durable(*p);
                bands->published(*p, 0);
            }
        }
        open_bands();
        return list;
    }
    // It was opened while drive 3 was missing.
    void make_narrow(BandId band) {
        array.columns->release(band, {});
        REQUIRE(array.columns->choose(band, DriveSet(0b111)));
    }
    Column place_on_3(BandId band) {
        const auto at = array.columns->reserve(band, DriveSet(0b1111));
        REQUIRE(at);
        REQUIRE(at->member == 3);
        return *at;
    }
    // As GC does.
    void move(BandId band) {
        REQUIRE(bands->begin_move(band));
        bands->moved(band);
    }
    BandState state(BandId band) const { return bands->record_of(band).state; }
    BandPage page_in(const HeldDrive& drive) const {
        return BandPage(array.layout, drive.held.front().io->data);
    }
};

}  // namespace

TEST_CASE("band keeper: a band is used when all scm drives have its record durable") {
    Kept k;
    k.poll();
    REQUIRE(k.all_hold(IoKind::write));
    REQUIRE(k.page_in(*k.scm[0]).valid(k.array.array, 0));
    std::uint32_t open = 0;
    for (std::uint32_t i = 0; i < k.array.layout.bands; ++i)
        open += k.page_in(*k.scm[0]).record(i).state == BandState::open;
    CHECK(open == 2);  // of each stream
    k.scm[0]->end_one();
    k.poll();
    CHECK(k.scm[0]->held.empty());  // its flush waits for the other drive's write
    k.scm[1]->end_one();
    k.poll();
    REQUIRE(k.all_hold(IoKind::flush));
    CHECK_FALSE(k.bands->place(Stream::user));
    k.scm[1]->end_one();
    k.poll();
    CHECK_FALSE(k.bands->place(Stream::user));
    k.scm[0]->end_one();
    k.poll();
    CHECK(k.bands->place(Stream::user));
    CHECK(k.bands->place(Stream::gc));
}

TEST_CASE("band keeper: generations of a page alternate between its two places on every drive") {
    Kept k;
    k.open_bands();
    std::uint64_t last = k.keeper->generations()[0];
    for (int round = 0; round < 4; ++round) {
        k.keeper->refresh();
        k.poll();
        REQUIRE(k.all_hold(IoKind::write));
        for (const auto& d : k.scm) {
            CHECK(k.page_in(*d).header().generation == last + 1);
            CHECK(d->held.front().io->offset == k.array.layout.band_page_offset(0, (last + 1) & 1));
        }
        CHECK(k.array.layout.band_page_offset(0, last & 1) !=
              k.array.layout.band_page_offset(0, (last + 1) & 1));
        ++last;
        k.end_round(k.scm);
        k.end_round(k.scm);
        CHECK(k.keeper->idle());
    }
}

TEST_CASE("band keeper: a band is discarded when all scm drives know, and free when all qlc did") {
    Kept k;
    const BandId band = k.closed_bands(1)[0];
    k.move(band);
    k.poll();
    REQUIRE(k.all_hold(IoKind::write));
    CHECK(k.page_in(*k.scm[1]).record(band.value).state == BandState::erasing);
    k.end_round(k.scm);
    REQUIRE(k.all_hold(IoKind::flush));
    k.scm[0]->end_one();
    k.poll();
    for (const auto& d : k.qlc) CHECK(d->held.empty());
    k.end_round(k.scm);
    for (const auto& d : k.qlc) {
        REQUIRE(d->held.size() == 1);
        REQUIRE(d->holds(IoKind::discard));
        CHECK(d->held.front().io->offset == k.array.locate_column(band, 0).offset);
        CHECK(d->held.front().io->bytes == k.array.layout.p.band_bytes);
    }
    for (std::size_t i = 0; i < 3; ++i) k.qlc[i]->end_one();
    k.poll();
    CHECK(k.state(band) == BandState::erasing);
    k.qlc[3]->end_one();
    k.poll();
    CHECK(k.state(band) == BandState::free);
}

TEST_CASE("band keeper: of a round that band alone is out of use which a drive did not discard") {
    const std::size_t failing = GENERATE(0u, 3u);
    Kept k;
    const auto moved = k.closed_bands(2);
    for (const BandId band : moved) k.move(band);
    k.poll();
    k.end_round(k.scm);
    k.end_round(k.scm);
    REQUIRE(k.qlc[failing]->held.size() == 2);
    const std::uint64_t place = k.qlc[failing]->held.front().io->offset;
    k.qlc[failing]->end_one(EIO);
    k.end_round(k.qlc);
    CHECK_FALSE(k.keeper->failed());
    CHECK_FALSE(k.gate->failed());
    CHECK(k.bands->out_of_use() == 1);
    for (const BandId band : moved) {
        const bool kept = k.array.locate_column(band, 0).offset == place;
        CHECK(k.state(band) == (kept ? BandState::erasing : BandState::free));
    }
    CHECK(k.counters.get(Counter::io_errors) == 1);
}

TEST_CASE("band keeper: an scm drive that fails ends all writing, and no band is used or erased") {
    const std::size_t failing = GENERATE(0u, 1u);
    const bool flush = GENERATE(false, true);
    CAPTURE(failing, flush);
    Kept k;
    const BandId band = k.closed_bands(1)[0];
    k.move(band);
    k.poll();
    if (flush) k.end_round(k.scm);
    k.scm[failing]->end_one(EIO);
    k.end_round(k.scm);
    CHECK(k.keeper->failed());
    CHECK(k.gate->failed());
    CHECK(k.nothing_held());
    CHECK(k.state(band) == BandState::erasing);
    k.keeper->refresh();
    k.poll();
    CHECK(k.nothing_held());
}

TEST_CASE("band keeper: more bands than a round takes are erased in several") {
    Kept k;
    const auto moved = k.closed_bands(20);
    for (const BandId band : moved) k.move(band);
    std::vector<std::size_t> rounds;
    for (int i = 0; i < 5; ++i) {
        k.poll();
        k.end_round(k.scm);
        k.end_round(k.scm);
        if (!k.qlc[0]->held.empty()) rounds.push_back(k.qlc[0]->held.size());
        k.end_round(k.qlc);
    }
    CHECK(rounds == std::vector<std::size_t>{8, 8, 4});
    CHECK(k.keeper->idle());
    for (const BandId band : moved) CHECK(k.state(band) == BandState::free);
}

// Each on another page of the band table.
TEST_CASE("band keeper: a round holds all that it may have to write") {
    const SmallArray shape{.strips_per_band = 4, .bands = 900};
    const std::uint32_t per_page = small_layout(shape).bands_per_page();
    const auto closed = [&](std::uint32_t band) {
        BandRecord r;
        if (band / per_page > 8) return r;
        r.state = BandState::closed;
        r.segments = 4;
        r.sequence = 1 + band;
        return r;
    };
    Kept k(shape, closed);
    for (std::uint32_t page = 0; page < 8; ++page) k.move(BandId(page * per_page));
    const BandId narrow(8 * per_page);
    k.make_narrow(narrow);
    NewColumns columns;
    columns.band = narrow;
    columns.sequence = 1 + narrow.value;
    columns.all[0] = {3, k.place_on_3(columns.band), k.qlc[3].get()};
    columns.count = 1;
    k.keeper->record_columns(columns);
    k.poll();
    CHECK(k.scm[0]->held.size() == 11);
    std::set<std::uint64_t> pages;
    for (const auto& h : k.scm[0]->held)
        pages.insert(BandPage(k.array.layout, h.io->data).header().page);
    CHECK(pages.size() == 11);
    k.end_round(k.scm);
    CHECK_FALSE(k.array.columns->of(narrow, 3).there());
    CHECK_FALSE(k.keeper->recorded());
    k.end_round(k.scm);
    CHECK(k.array.columns->of(narrow, 3).member == 3);
    CHECK(k.keeper->recorded() == true);
    k.end_round(k.qlc);
    CHECK(k.state(BandId(0)) == BandState::free);
    CHECK(k.keeper->idle());
}

TEST_CASE("band keeper: columns of a band or a drive that is not what it was are refused") {
    Kept k;
    const BandId band = k.closed_bands(1)[0];
    k.make_narrow(band);
    NewColumns columns;
    columns.band = band;
    columns.sequence = k.bands->sequence_of(band);
    columns.all[0] = {3, k.place_on_3(columns.band), k.qlc[3].get()};
    columns.count = 1;
    const int what = GENERATE(0, 1, 2, 3);
    if (what == 0) ++columns.sequence;
    if (what == 1) k.qlc[3]->set_leaving();
    if (what == 2) columns.all[0].drive = k.qlc[2].get();
    if (what == 3) k.move(band);
    k.keeper->record_columns(columns);
    if (what == 1) k.qlc[3]->set_out();
    for (int i = 0; i < 4; ++i) k.end_round(k.scm), k.end_round(k.qlc);
    CHECK(k.keeper->recorded() == false);
    CHECK_FALSE(k.array.columns->of(band, 3).there());
}

TEST_CASE("band keeper: closing finishes what is under way in each step, erases, opens nothing") {
    const int steps = GENERATE(range(-1, 4));  // -1: nothing is begun yet
    CAPTURE(steps);
    Kept k;
    const auto moved = k.closed_bands(2);
    while (k.bands->place(Stream::user)) {  // it wants another
    }
    k.move(moved[0]);
    if (steps >= 0) k.poll();
    for (int i = 0; i < steps; ++i) k.end_round(i < 2 ? k.scm : k.qlc);
    const auto open = k.bands->counts().open;
    k.keeper->begin(Phase::erasing);
    k.move(moved[1]);
    k.keeper->refresh();
    for (int i = 0; i < 20; ++i) {
        k.poll();
        k.end_round(k.scm);
        k.end_round(k.qlc);
    }
    CHECK(k.keeper->idle());
    CHECK(k.nothing_held());
    CHECK(k.bands->counts().open == open);  // with what was being opened
    for (const BandId band : moved) CHECK(k.state(band) == BandState::free);
}

TEST_CASE("band keeper: a drive that is coming gets each page in both places") {
    Kept k;
    k.open_bands();
    HeldDrive coming("coming");
    k.array.scm_coming = {nullptr, &coming};
    std::map<std::uint64_t, int> written;
    k.keeper->rewrite();
    for (int i = 0; k.keeper->rewrites(); ++i) {
        REQUIRE(i < 1000);
        k.poll();
        for (const auto& held : coming.held) written[held.io->offset] += 1;
        coming.end_all();
        k.end_round(k.scm);
    }
    for (std::uint64_t page = 0; page < k.array.layout.band_table_pages; ++page) {
        CHECK(written[k.array.layout.band_page_offset(page, 0)] != 0);
        CHECK(written[k.array.layout.band_page_offset(page, 1)] != 0);
    }
    CHECK(k.keeper->idle());
    k.array.scm_coming = {nullptr, nullptr};
}
