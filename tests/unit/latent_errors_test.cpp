// SPDX-License-Identifier: Apache-2.0
// Places that can't be read on drives that work, against drives that are gone: two errors, with two
// remedies.
#include <catch2/catch.hpp>
#include <string>

#include "core_array.h"
#include "placement/failures.h"
#include "recovery/check.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kBlock = 5;  // of the volume: the one that can't be read

bool contains(const std::string& text, const char* words) {
    return text.find(words) != std::string::npos;
}

// Two bands and more of sevens; blocks 0 and following are the first segment of the first band.
struct Sevens : CoreArray {
    ArrayLayout l;
    BandId band;
    std::uint64_t blocks = 0;

    explicit Sevens(std::uint32_t more_drives = 0)
        : CoreArray(1, Shape{.more_drives = more_drives}) {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
        l = core->layout();
        blocks = 2 * l.slots_per_band();
        write_blocks(0, l.slots_per_segment, 7);
        band = core->bands().user_frontier().band;
        write_blocks(l.slots_per_segment, blocks - l.slots_per_segment, 7);
        for (int i = 0; i < 10000; ++i) poll();  // what is in segments is in the table
        REQUIRE(core->bands().record_of(band).state == BandState::closed);
    }
    ~Sevens() {
        power.fails = nullptr;
        if (core) cut();
    }
    // Whether the transfer reads that row of the role's strip in the first segment.
    bool reads_row(const Io& io, std::uint32_t role, std::uint64_t row) const {
        const Location place = home_of(l, band, 0, role);
        const std::uint64_t at = place.offset + row * kBlockBytes;
        return io.kind == IoKind::read && io.device->path() == options.devices[place.drive].path &&
               io.offset <= at && at < io.offset + io.bytes;
    }
    // A sector in each of three strips of the row that has block kBlock.
    void three_latent_errors(std::uint64_t row) {
        power.fails = [this, row](const Io& io) {
            return reads_row(io, 0, row) || reads_row(io, 2, row) || reads_row(io, 3, row);
        };
    }
    std::uint64_t row_of_block() const { return l.header_blocks + kBlock; }
    // Three drives fail all reads from the first on that `first` is true of.
    void three_gone_from(std::function<bool(const Io&)> first) {
        power.fails = [first = std::move(first), gone = false](const Io& io) mutable {
            gone = gone || first(io);
            return gone && io.kind == IoKind::read && io.device->path() < "qlc3";
        };
    }
    Status read(std::uint64_t block = kBlock) {
        Bytes data(kBlockBytes);
        const Status done = request(Op::read, data.data(), kBlockBytes, block * kBlockBytes);
        if (done) CHECK(data[0] == std::byte{7});
        return done;
    }
    void close() {
        while (!core->advance_close()) poll();
        REQUIRE(core->finish_close());
        core.reset();
    }
};

}  // namespace

TEST_CASE("latent errors: three in one row are a media error of their block alone") {
    Sevens a;
    a.three_latent_errors(a.row_of_block());
    for (int i = 0; i < 5; ++i) {
        const Status outcome = a.read();
        REQUIRE_FALSE(outcome);
        INFO(outcome.error().message);
        CHECK(outcome.error().code == Errc::media_error);
        CHECK_FALSE(contains(outcome.error().message, "reconnect"));
        CHECK(contains(outcome.error().message, "overwrite or trim it"));
    }
    Bytes part(512);
    const Status write = a.request(Op::write, part.data(), part.size(), kBlock * kBlockBytes);
    REQUIRE_FALSE(write);
    CHECK(write.error().code == Errc::media_error);
    for (std::uint64_t block = 0; block < a.blocks; ++block) {
        if (block != kBlock) REQUIRE(a.read(block));
    }
    for (const DeviceStatus& d : a.core->stats().devices) CHECK_FALSE(d.failing);
    // The remedy.
    a.write_blocks(kBlock, 1, 7);
    CHECK(a.read());
}

TEST_CASE("latent errors: one more than the missing drives leave needs those drives") {
    Sevens a;
    a.close();
    REQUIRE(a.open(2));
    const std::uint64_t row = a.row_of_block();
    a.power.fails = [&](const Io& io) {
        return io.kind == IoKind::read && io.offset != 0 &&
               (a.reads_row(io, 0, row) || a.reads_row(io, 1, row) || a.reads_row(io, 2, row) ||
                a.reads_row(io, 3, row)) &&
               io.device->path() == "qlc3";
    };
    const Status outcome = a.read();
    REQUIRE_FALSE(outcome);
    INFO(outcome.error().message);
    CHECK(outcome.error().code == Errc::media_error);
    CHECK(contains(outcome.error().message, "reconnect the drives"));
}

TEST_CASE("drives gone: a read is tried again when they are back in a moment") {
    Sevens a;
    bool back = false;
    a.power.fails = [&](const Io& io) {
        back = back || io.offset == 0;  // they answer when they are asked
        return !back && io.kind == IoKind::read && io.device->path() < "qlc3";
    };
    CHECK(a.read());
    CHECK(back);
}

TEST_CASE("drives gone: so it is where three are away on which its band has nothing") {
    Sevens a(3);
    const ArrayContext& array = a.core->array();
    for (std::uint32_t d = 0; d < a.l.p.qlc_count; ++d) {
        if (!array.columns->drives(a.band)[d]) array.qlc[d]->note_silent(EIO);
    }
    REQUIRE(drives_away(array) == 3);
    bool back = false;
    a.power.fails = [&](const Io& io) {
        back = back || io.offset == 0;
        return !back && io.kind == IoKind::read && io.device->path() < "scm";
    };
    CHECK(a.read());
    CHECK(back);
}

TEST_CASE("drives gone: recovery tells them from a header that is damaged") {
    Sevens a;
    a.cut_without_snapshots();
    const auto header = [&](const Io& io) { return a.reads_row(io, 0, 0); };
    SECTION("three latent errors") {
        a.three_latent_errors(0);
        const Status opened = a.open();
        REQUIRE_FALSE(opened);
        INFO(opened.error().message);
        CHECK(opened.error().code == Errc::damaged);
        CHECK(contains(opened.error().message, "its header is damaged"));
    }
    SECTION("three drives") {
        int seen = 0;  // the look for older members comes first
        a.three_gone_from([&](const Io& io) { return header(io) && ++seen == 2; });
        const Status opened = a.open();
        REQUIRE_FALSE(opened);
        INFO(opened.error().message);
        CHECK(opened.error().code == Errc::io_error);
        CHECK(contains(opened.error().message, "more drives fail than parity covers"));
        CHECK(contains(opened.error().message, "reconnect the drives"));
    }
    a.power.fails = nullptr;
    REQUIRE(a.open());
    CHECK(a.read());
}

TEST_CASE("drives gone: recovery tells them from a block of trims that is damaged") {
    CoreArray a;
    REQUIRE(a.open());
    REQUIRE(a.core->create_volume("v", 4 * MiB));
    const ArrayLayout l = a.core->layout();
    a.write_blocks(0, l.slots_per_segment, 7);
    const BandId band = a.core->bands().user_frontier().band;
    a.trim_blocks(3, 1);
    a.write_blocks(100, l.slots_per_segment - 1,
                   7);  // with the block of trims they fill the segment
    a.write_blocks(200, 2 * l.slots_per_band(), 7);
    for (int i = 0; i < 10000; ++i) a.poll();
    REQUIRE(a.core->bands().record_of(band).state == BandState::closed);
    a.cut_without_snapshots();
    const std::uint64_t at = l.slot_byte(l.slots_per_segment - 1);
    const auto role = static_cast<std::uint32_t>(at / l.p.strip_bytes);
    const auto reads = [&](const Io& io, std::uint32_t of_role) {
        const Location place = home_of(l, band, 1, of_role);
        return io.kind == IoKind::read &&
               io.device->path() == a.options.devices[place.drive].path &&
               io.offset == place.offset + at % l.p.strip_bytes && io.bytes == kBlockBytes;
    };
    bool gone = false;
    SECTION("three latent errors") {
        a.power.fails = [&](const Io& io) {
            return reads(io, role) || reads(io, (role + 1) % 4) || reads(io, (role + 2) % 4);
        };
        const Status opened = a.open();
        REQUIRE_FALSE(opened);
        INFO(opened.error().message);
        CHECK(opened.error().code == Errc::damaged);
        CHECK(contains(opened.error().message, "a block of tombstones is damaged"));
    }
    SECTION("three drives") {
        a.power.fails = [&](const Io& io) {
            gone = gone || reads(io, role);
            const std::string drive = a.options.devices[home_of(l, band, 1, role).drive].path;
            return gone && io.kind == IoKind::read && io.device->path().starts_with("qlc") &&
                   (io.device->path() == drive ||
                    io.device->path() != (drive == "qlc3" ? "qlc0" : "qlc3"));
        };
        const Status opened = a.open();
        REQUIRE_FALSE(opened);
        INFO(opened.error().message);
        CHECK(opened.error().code == Errc::missing_device);
        CHECK(contains(opened.error().message, "no more than 2 qlc drives may be missing"));
        for (const char* failed : {"qlc0: read of", "qlc1: read of", "qlc2: read of"})
            CHECK(contains(opened.error().message, failed));
    }
    a.power.fails = nullptr;
    REQUIRE(a.open());
    CHECK(a.reads(3, 1, 0));
    CHECK(a.reads(4, 1, 7));
    a.cut();
}

TEST_CASE("drives gone: check tells them from what is damaged") {
    Sevens a;
    a.close();
    REQUIRE(a.open());
    bool gone = false;
    SECTION("three latent errors") { a.three_latent_errors(a.row_of_block()); }
    SECTION("three drives") {
        gone = true;
        a.three_gone_from([](const Io&) { return true; });
    }
    Superblock superblock;
    superblock.state = ArrayState::open;
    IoQueue queue;
    const auto report = check_array(a.core->array(), superblock, queue, {});
    REQUIRE(report);
    REQUIRE_FALSE(report->problems.empty());
    for (const std::string& problem : report->problems) {
        INFO(problem);
        CHECK(contains(problem, "qlc0, qlc1, qlc2 don't answer") == gone);
        CHECK(contains(problem, "more is damaged than P and Q can reconstruct") != gone);
    }
}
