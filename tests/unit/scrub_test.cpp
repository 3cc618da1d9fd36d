// SPDX-License-Identifier: Apache-2.0
// The scrub: what it finds, what becomes of that, and where it goes on after a cut.
#include <set>

#include "checked_array.h"

using namespace qlcshape;

namespace {

// Bands of sevens, the first of them partly overwritten; all that is written is in segments.
struct ScrubArray : CheckedArray {
    ArrayLayout l;
    BandId band;  // a closed one
    std::uint64_t blocks = 0;

    explicit ScrubArray(const Shape& shape = {}) : CheckedArray(1, shape) {
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

TEST_CASE("scrub: damage that a user's read finds is mended before the scrub comes by") {
    ScrubArray a;
    a.at(2, 0, 9000) ^= std::byte{1};
    const std::uint64_t moved = a.core->stats().gc.bands_moved;
    REQUIRE(a.reads(0, a.blocks, 7));
    CHECK(a.core->stats().errors.reconstructed == 1);
    a.settle();
    CHECK(a.core->stats().gc.bands_moved - moved == 1);
    const std::uint64_t reconstructed = a.core->stats().errors.reconstructed;
    REQUIRE(a.reads(0, a.blocks, 7));
    CHECK(a.core->stats().errors.reconstructed == reconstructed);
    CHECK(a.look().strips_wrong == 0);
    a.ends_whole();
}

TEST_CASE("scrub: what a user's read finds of it is looked at once more") {
    ScrubArray a;
    enum class What { wrong_once, unreadable, drive_away };
    const What what = GENERATE(What::wrong_once, What::unreadable, What::drive_away);
    const Location place = a.core->array().locate(a.band, 2, 0);
    bool once = false;
    a.power.spoils = [&](const Io& io) {
        return what == What::wrong_once && a.reads_strip(io, 2, 0) && !std::exchange(once, true);
    };
    a.power.fails = [&](const Io& io) {
        return what == What::unreadable ? a.reads_strip(io, 2, 0)
               : what == What::drive_away
                   ? io.kind == IoKind::read &&
                         io.device->path() == a.options.devices[place.drive].path
                   : false;
    };
    const std::uint64_t moved = a.core->stats().gc.bands_moved;
    REQUIRE(a.reads(0, a.blocks, 7));
    CHECK(a.core->stats().errors.reconstructed != 0);
    a.settle();
    CHECK(a.core->stats().gc.bands_moved - moved == (what == What::unreadable ? 1 : 0));
    a.power.fails = a.power.spoils = nullptr;
    a.ends_whole();
}

// As behind a controller that returns wrong data: it may be right again.
TEST_CASE("scrub: more than parity covers is left as it is, and nothing is given up") {
    ScrubArray a;
    const auto change = [&] {
        // Such that no two of them cancel each other out.
        for (const auto& [role, bits] : {std::pair{0u, 1}, {1u, 2}, {3u, 64}})
            a.at(1, role, 6 * kBlockBytes) ^= static_cast<std::byte>(bits);
    };
    change();
    a.pass();
    CHECK(a.look().strips_wrong == 3);
    CHECK(a.look().bands_damaged == 0);
    CHECK(a.look().bands_not_mended == 1);
    CHECK(a.core->bands().out_of_use() == 0);
    CHECK(a.core->stats().health == "degraded");
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
    // Other damage in it does not have it tried again whenever somebody reads that.
    a.at(1, 0, 9000) ^= std::byte{1};
    for (std::uint64_t b = 0; b < a.blocks; ++b)
        static_cast<void>(a.request(Op::read, data.data(), kBlockBytes, b * kBlockBytes));
    CHECK(a.core->stats().errors.reconstructed != 0);
    CHECK(a.look().bands_damaged == 0);
    CHECK(a.look().bands_not_mended == 1);
    a.at(1, 0, 9000) ^= std::byte{1};
    change();
    CHECK(a.reads(0, a.blocks, 7));
    a.at(1, 0, 6 * kBlockBytes) ^= std::byte{1};
    a.pass();
    CHECK(a.look().bands_not_mended == 0);
    a.ends_whole();
}

// All that the header says of a segment is lost with it.
TEST_CASE("scrub: a header that is lost everywhere is found") {
    ScrubArray a;
    for (const auto& [role, bits] : {std::pair{0u, 1}, {2u, 2}, {3u, 64}})
        a.at(1, role, 40) ^= static_cast<std::byte>(bits);
    a.pass();
    CHECK(a.look().strips_wrong > 0);
    CHECK(a.look().bands_not_mended == 1);
}

TEST_CASE("scrub: parity that covers the header is compared where a data strip is damaged or out") {
    ScrubArray a;
    const std::uint32_t parity = GENERATE(2u, 3u);
    const bool out = GENERATE(false, true);
    std::uint32_t data = GENERATE(0u, 1u);
    if (out) {
        const std::string path =
            a.options.devices[a.core->array().locate(a.band, 1, data).drive].path;
        a.power.fails = [path](const Io& io) { return io.device->path() == path; };
        for (int i = 0; i < 200 && a.core->array().drives_in().count() == 4; ++i)
            a.write_blocks(0, 31, 7);
        REQUIRE(a.core->array().drives_in().count() == 3);
        a.settle();
    } else {
        a.at(1, data, data == 0 ? 100 : 50) ^= std::byte{1};
    }
    a.at(1, parity, 200) ^= std::byte{4};
    a.pass();
    CHECK(a.look().strips_wrong == (out ? 1 : 2));
    CHECK((a.look().strips_left_out != 0) == out);
    CHECK(a.look().bands_damaged == 0);
    a.settle();
    CHECK(a.reads(0, a.blocks, 7));
    a.power.fails = nullptr;
}

// The last band that GC takes for space waits for others to fill the segment.
TEST_CASE("scrub: a band that GC has taken already does not hold up the pass") {
    ScrubArray a;
    a.at(2, 0, 9000) ^= std::byte{1};
    REQUIRE(a.core->start_scrub(0));
    while (a.look().bands_passed != a.band.value || a.look().strips_wrong == 0) a.poll();
    REQUIRE(a.look().bands_damaged == 0);  // it is still being read
    REQUIRE(a.core->bands().begin_move(a.band));
    a.settle();
    CHECK(a.look().bands_damaged == 1);
    a.core->bands().abandon_move(a.band);
    for (int i = 0; a.look().asked == "under way"; ++i) {
        REQUIRE(i < 100000);
        a.poll();
    }
    a.ends_whole();
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
    REQUIRE(a.core->stop_scrub());
    a.at(0, 1, 9000) ^= std::byte{1};
    a.pass();
    CHECK(a.look().strips_wrong == 1);
    a.ends_whole();
}

TEST_CASE("scrub: passes take the time that they are given") {
    ScrubArray a;
    REQUIRE(a.close());
    a.options.scrub_days = 1;
    REQUIRE(a.open());
    const auto hours = [&](std::uint64_t n, int polls) {
        for (std::uint64_t i = 0; i < n * 3600; ++i) {
            a.clock.pass(1'000'000'000);
            a.core->pace_scrub();
            for (int p = 0; p < polls; ++p) a.poll();
        }
    };
    // What was asked for in between is no reason to rest afterwards.
    const bool asked = GENERATE(false, true);
    if (asked) a.pass();
    const std::uint64_t passed = a.look().bands_passed;
    const auto passes = [&] {
        return static_cast<double>(a.look().bands_passed - passed) / a.l.bands;
    };
    hours(12, 3);
    CHECK(passes() > 0.4);
    CHECK(passes() < 0.6);
    CHECK(a.look().state == "scheduled");
    hours(12, 3);
    CHECK(passes() > 0.9);
    CHECK(passes() < 1.1);
    CHECK(a.look().bytes_read > 0);
    CHECK(a.look().strips_wrong == 0);
    // What it was not able to read in its time is not read all at once, nor if nobody looked.
    const double before = passes();
    hours(12, 0);
    a.clock.pass(86'400'000'000'000);
    a.core->pace_scrub();
    a.settle();
    CHECK(passes() - before < 0.1);
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
    CHECK(a.look().asked == "under way");
    REQUIRE(a.core->stop_scrub());
    CHECK(a.look().state == "scheduled");
    CHECK(a.look().asked == "stopped");
    CHECK_FALSE(a.core->stop_scrub());
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

// Between data and tombstones lie slots that hold nothing, or what is valid no more: they are read
// along. Nothing is lost with them.
TEST_CASE("scrub: what GC reads along in a damaged strip counts as lost nowhere") {
    ScrubArray a;
    const std::uint64_t at = a.blocks;
    a.write_blocks(at, 20, 7);
    a.trim_blocks(at + 1, 1);
    REQUIRE(a.close());  // a segment that is not full
    REQUIRE(a.open());
    a.write_blocks(0, a.blocks, 7);
    a.settle();
    const std::uint32_t drive = GENERATE(range(0u, 4u));
    for (std::uint32_t slot = kSuperblockUnits; slot < a.l.drive_slots(); ++slot) {
        for (std::uint64_t block = 0; block < a.l.p.band_bytes; block += kBlockBytes)
            a.media[drive][a.l.slot_offset(slot) + block + 100] ^= std::byte{1};
    }
    a.pass();
    CHECK(a.look().strips_wrong > 0);
    CHECK(a.look().bands_not_mended == 0);
    CHECK(a.core->stats().errors.unreadable == 0);
    a.settle();
    CHECK(a.reads(0, a.blocks, 7));
    CHECK(a.reads(at + 1, 1, 0));
}
