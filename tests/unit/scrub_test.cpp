// SPDX-License-Identifier: Apache-2.0
// The scrub: what it finds, what becomes of that, and where it goes on after a cut.
#include <set>

#include "core_array.h"
#include "recovery/check.h"

using namespace qlcshape;

namespace {

// Bands of sevens, the first of them partly overwritten; all that is written is in segments.
struct ScrubArray : CoreArray {
    ArrayLayout l;
    BandId band;  // a closed one
    std::uint64_t blocks = 0;

    explicit ScrubArray(const Shape& shape = {}) : CoreArray(1, shape) {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 8 * MiB));
        l = core->layout();
        blocks = 2 * l.slots_per_band();
        REQUIRE(blocks * kBlockBytes <= 8 * MiB);
        write_blocks(0, l.slots_per_segment, 7);
        band = core->bands().user_frontier().band;
        write_blocks(l.slots_per_segment, blocks - l.slots_per_segment, 7);
        write_blocks(0, 5, 7);  // the same again: their first places hold nothing valid
        settle();
        REQUIRE(core->bands().record_of(band).state == BandState::closed);
    }
    ~ScrubArray() {
        power.fails = power.spoils = nullptr;
        if (core) cut();
    }
    void settle() {
        for (int i = 0; i < 10000; ++i) poll();
    }
    const Stats::Scrub look() const { return core->stats().scrub; }
    // Until the pass has ended that was asked for.
    void pass() {
        REQUIRE(core->start_scrub(0));
        for (int i = 0; look().state == "asked"; ++i) {
            REQUIRE(i < 100000);
            poll();
        }
    }
    std::byte& at(std::uint32_t segment, std::uint32_t role, std::uint64_t byte) {
        const Location place = core->array().locate(band, segment, role);
        return media[place.drive][place.offset + byte];
    }
    bool reads_strip(const Io& io, std::uint32_t segment, std::uint32_t role) const {
        const Location place = core->array().locate(band, segment, role);
        return io.kind == IoKind::read && io.device->path() == options.devices[place.drive].path &&
               io.offset < place.offset + l.p.strip_bytes && place.offset < io.offset + io.bytes;
    }
    std::vector<std::string> problems() {
        REQUIRE(close());
        power.on = true;
        IoQueue queue;
        auto found = discover(drives(), {}, queue);
        REQUIRE(found);
        const auto report = check_array(context_of(*found), found->superblock, queue, {});
        REQUIRE(report);
        return report->problems;
    }
    void ends_whole() {
        CHECK(look().bands_damaged == 0);
        CHECK(core->bands().out_of_use() == 0);
        settle();
        CHECK(reads(0, blocks, 7));
        CHECK(problems().empty());
    }
};

}  // namespace

TEST_CASE("scrub: a pass reads each strip of each closed band once") {
    ScrubArray a;
    std::set<std::pair<std::string, std::uint64_t>> read;
    a.power.spoils = [&](const Io& io) {
        if (io.kind == IoKind::read && io.device->path().starts_with("qlc"))
            CHECK(read.emplace(io.device->path(), io.offset).second);
        return false;
    };
    std::uint64_t segments = 0;
    a.core->bands().candidates([&](const Candidate&) { segments += a.l.segments_per_band; });
    a.pass();
    CHECK(read.size() == segments * a.l.width());
    CHECK(a.look().bytes_read == segments * a.l.width() * a.l.p.strip_bytes);
    CHECK(a.look().strips_wrong == 0);
    CHECK(a.look().bands_passed == a.l.bands);
    a.power.spoils = nullptr;
    a.ends_whole();
}

TEST_CASE("scrub: of strips larger than a piece all pieces are compared") {
    ScrubArray a(Shape{2, 256 * KiB, MiB, 0, 40 * MiB});
    const std::uint32_t role = GENERATE(0u, 1u, 2u, 3u);
    const std::uint64_t byte = GENERATE(0u, 5000u, 128u * 1024, 256u * 1024 - 1);
    a.at(1, role, byte) ^= std::byte{1};
    a.pass();
    CHECK(a.look().strips_wrong == 1);
    a.ends_whole();
}

TEST_CASE("scrub: a strip that is not what was written is found, and its band rewritten") {
    ScrubArray a;
    const std::uint32_t role = GENERATE(0u, 1u, 2u, 3u);
    // In the header or what covers it; in a block that is valid no more; in the last one.
    const std::uint64_t byte = GENERATE(17u, 4096u + 17, 64u * 1024 - 1);
    const std::uint32_t segment = GENERATE(0u, 3u);
    a.at(segment, role, byte) ^= std::byte{1};
    const std::string drive =
        a.options.devices[a.core->array().locate(a.band, segment, role).drive].path;
    a.pass();
    CHECK(a.look().strips_wrong == 1);
    CHECK(a.look().strips_wrong_now == 1);
    for (const DeviceStatus& d : a.core->stats().devices)
        CHECK((d.checksum_errors != 0) == (d.path == drive));
    a.ends_whole();
}

TEST_CASE("scrub: two strips of a segment are damaged") {
    ScrubArray a;
    const std::uint32_t first = GENERATE(range(0u, 3u));
    const std::uint32_t second = GENERATE_COPY(range(first + 1, 4u));
    a.at(2, first, 9000) ^= std::byte{1};
    a.at(2, second, 9000) ^= std::byte{1};
    a.pass();
    CHECK(a.look().strips_wrong == 2);
    a.ends_whole();
}

TEST_CASE("scrub: a place that can't be read is damage, a drive that can't be read is none") {
    ScrubArray a;
    const bool whole_drive = GENERATE(false, true);
    const Location place = a.core->array().locate(a.band, 1, 2);
    a.power.fails = [&](const Io& io) {
        return whole_drive ? io.kind == IoKind::read &&
                                 io.device->path() == a.options.devices[place.drive].path
                           : a.reads_strip(io, 1, 2);
    };
    const std::uint64_t moved = a.core->stats().gc.bands_moved;
    a.pass();
    CHECK(a.look().strips_wrong == (whole_drive ? 0 : 1));
    a.settle();
    CHECK(a.core->stats().gc.bands_moved - moved == (whole_drive ? 0 : 1));
    a.power.fails = nullptr;
    a.ends_whole();
}

TEST_CASE("scrub: what a drive returns wrong once is no damage") {
    ScrubArray a;
    bool once = false;
    a.power.spoils = [&](const Io& io) {
        return a.reads_strip(io, 1, 2) && !std::exchange(once, true);
    };
    a.pass();
    CHECK(once);
    CHECK(a.look().strips_wrong == 0);
    a.power.spoils = nullptr;
    a.ends_whole();
}

TEST_CASE("scrub: more than parity covers ends no pass, and loses no other block") {
    ScrubArray a;
    // Such that no two of them cancel each other out.
    for (const auto& [role, bits] : {std::pair{0u, 1}, {1u, 2}, {3u, 64}})
        a.at(1, role, 6 * kBlockBytes) ^= static_cast<std::byte>(bits);
    a.pass();
    CHECK(a.look().strips_wrong == 3);
    CHECK(a.look().bands_damaged == 0);
    std::uint64_t lost = 0;
    Bytes data(kBlockBytes);
    for (std::uint64_t b = 0; b < a.blocks; ++b) {
        const Status read = a.request(Op::read, data.data(), kBlockBytes, b * kBlockBytes);
        if (read)
            CHECK(data[0] == std::byte{7});
        else
            ++lost;
    }
    CHECK(lost == 2);
}

TEST_CASE("scrub: a cut does not let it pass a band before what is damaged there is rewritten") {
    ScrubArray a;
    a.at(2, 0, 9000) ^= std::byte{1};
    a.power.holds = [](const Io& io) { return io.point == PersistencePoint::gc_strip_write; };
    REQUIRE(a.core->start_scrub(0));
    a.settle();
    CHECK(a.look().bands_damaged == 1);
    CHECK(a.look().bands_passed == a.band.value);
    CHECK(a.core->stats().health == "degraded");
    a.core->ask_snapshot();
    a.settle();
    a.power.holds = nullptr;
    a.power.on = false;
    while (!a.power.held.empty()) a.power.finish_one(a.random);
    a.cut();
    REQUIRE(a.open());
    CHECK(a.look().bands_passed == a.band.value);
    CHECK(a.look().state == "scheduled");
    a.pass();
    CHECK(a.look().strips_wrong_now == 1);
    CHECK(a.look().strips_wrong == 2);  // over the array's life
    a.ends_whole();
}

TEST_CASE("scrub: closing does not wait for the end of a pass, and the next opening goes on") {
    ScrubArray a;
    REQUIRE(a.core->start_scrub(0));
    while (a.look().bands_passed < 2) a.poll();
    const std::uint64_t passed = a.look().bands_passed;
    REQUIRE(a.close());
    REQUIRE(a.open());
    CHECK(a.look().bands_passed >= passed);
    CHECK(a.look().bands_passed < a.l.bands);
    a.pass();
    CHECK(a.look().strips_wrong == 0);
    a.ends_whole();
}

TEST_CASE("scrub: a pass that begins in the middle of a band covers all of it") {
    ScrubArray a;
    REQUIRE(a.core->start_scrub(0));
    while (a.look().bands_passed < a.band.value) a.poll();
    const std::uint64_t before = a.look().bytes_read;
    while (a.look().bytes_read < before + 3 * a.l.width() * a.l.p.strip_bytes) a.poll();
    REQUIRE(a.look().bands_passed == a.band.value);
    a.core->stop_scrub();
    a.at(0, 1, 9000) ^= std::byte{1};
    a.pass();
    CHECK(a.look().strips_wrong == 1);
    a.ends_whole();
}

TEST_CASE("scrub: passes take the time that they are given") {
    ScrubArray a;
    const auto hours = [&](std::uint64_t n) {
        for (std::uint64_t i = 0; i < n; ++i) {
            a.clock.pass(3'600'000'000'000);
            a.core->pace_scrub();
            for (int polls = 0; polls < 300; ++polls) a.poll();
        }
    };
    hours(7 * 24);
    const double half = a.look().passes;
    CHECK(half > 0.4);
    CHECK(half < 0.6);
    CHECK(a.look().state == "scheduled");
    hours(7 * 24);
    CHECK(a.look().passes > 0.9);
    CHECK(a.look().passes < 1.1);
    CHECK(a.look().bytes_read > 0);
    // What it was not able to read in its time is not read all at once.
    const std::uint64_t read = a.look().bytes_read, passed = a.look().bands_passed;
    for (int i = 0; i < 200; ++i) {
        a.clock.pass(3'600'000'000'000);
        a.core->pace_scrub();
    }
    a.settle();
    CHECK(a.look().bytes_read - read <= 2 * a.l.width() * a.l.p.strip_bytes);
    CHECK(a.look().bands_passed - passed <= 3);
    CHECK(a.look().strips_wrong == 0);
}

TEST_CASE("scrub: a rate holds, and a pass that is asked for can be stopped") {
    ScrubArray a;
    REQUIRE(a.core->start_scrub(MiB));
    a.settle();
    CHECK(a.look().bytes_read == 0);  // no time has passed
    a.core->pace_scrub();
    const auto seconds = [&](std::uint64_t n) {
        const std::uint64_t before = a.look().bytes_read;
        for (std::uint64_t i = 0; i < 4 * n; ++i) {
            a.clock.pass(250'000'000);
            a.core->pace_scrub();
            for (int polls = 0; polls < 100; ++polls) a.poll();
        }
        return a.look().bytes_read - before;
    };
    const std::uint64_t read = seconds(3);
    CHECK(read >= 2 * MiB);
    CHECK(read <= 4 * MiB);
    a.core->stop_scrub();
    CHECK(a.look().state == "scheduled");
    CHECK(seconds(10) <= a.l.width() * a.l.p.strip_bytes);
    // From where it is, all the way round.
    const std::uint64_t passed = a.look().bands_passed;
    a.pass();
    CHECK(a.look().bands_passed == passed + a.l.bands);
    a.ends_whole();
}

TEST_CASE("scrub: without a schedule it rests until it is asked") {
    ScrubArray a;
    REQUIRE(a.close());
    a.options.scrub_days = 0;
    REQUIRE(a.open());
    a.clock.pass(86'400'000'000'000);
    a.core->pace_scrub();
    a.settle();
    CHECK(a.look().state == "off");
    CHECK(a.look().bytes_read == 0);
    a.pass();
    CHECK(a.look().state == "off");
    CHECK(a.look().bytes_read > 0);
    REQUIRE(a.close());
    a.options.read_only = true;
    REQUIRE(a.open());
    const Status refused = a.core->start_scrub(0);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::read_only);
    a.core.reset();
    a.options.read_only = false;
}

TEST_CASE("scrub: a drive leaves while it reads, and bands go while it is in them") {
    ScrubArray a;
    REQUIRE(a.core->start_scrub(0));
    while (a.look().bands_passed < 1) a.poll();
    a.power.fails = [](const Io& io) { return io.device->path() == "qlc2"; };
    for (int i = 0; a.look().state == "asked"; ++i) {
        REQUIRE(i < 200);
        a.write_blocks(static_cast<std::uint64_t>(i) % 8 * 31, 31, 7);
    }
    CHECK(a.core->array().drives_in().count() == 3);
    CHECK(a.look().strips_wrong == 0);
    CHECK(a.reads(0, a.blocks, 7));
    a.power.fails = nullptr;
}
