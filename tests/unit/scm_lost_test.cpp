// SPDX-License-Identifier: Apache-2.0
// One of two SCM drives goes, and comes back: each page of the table has a copy on both.
#include <catch2/catch.hpp>

#include "core_array.h"
#include "engine/replace.h"

using namespace qlcshape;

namespace {

const DeviceStatus& drive(const Stats& stats, const std::string& path) {
    for (const DeviceStatus& d : stats.devices) {
        if (d.path == path) return d;
    }
    FAIL(path + " is not listed");
    return stats.devices.front();
}

// "v" with sevens in all of it, closed.
struct Mirrored : CoreArray {
    Mirrored() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
        write_blocks(0, 1000, 7);
        REQUIRE(close());
    }
    bool all(int value) { return reads(0, 1000, value); }
    void fails_on(const std::string& path) {
        power.fails = [path](const Io& io) {
            return io.device->path() == path && io.kind != IoKind::read;
        };
    }
    void end(bool crashed) {
        if (crashed)
            cut();
        else
            REQUIRE(close());
        power.fails = nullptr;
    }
};

std::string refusal(CoreArray& array) {
    const Status opened = array.open();
    REQUIRE_FALSE(opened);
    return opened.error().message;
}

}  // namespace

TEST_CASE("scm: an array goes on without one of two, and fills it again when it is back") {
    const std::string lost = GENERATE("scm4", "scm5"), other = lost == "scm4" ? "scm5" : "scm4";
    const bool crashed = GENERATE(false, true);
    Mirrored a;
    a.away = {lost};
    REQUIRE(a.open());
    CHECK(a.all(7));
    a.write_blocks(0, 1000, 8);
    a.end(crashed);

    // What was written since is on the other one alone.
    a.away = {other};
    CHECK(refusal(a).find("one scm drive that has the newest writes is needed") !=
          std::string::npos);
    a.away = {};
    REQUIRE(a.open());
    CHECK(a.all(8));
    CHECK(a.core->array().scm_in_count() == 2);
    a.end(crashed);

    a.away = {other};
    REQUIRE(a.open());
    CHECK(a.all(8));
    a.write_blocks(0, 1000, 9);
    a.end(crashed);
    a.away = {};
    REQUIRE(a.open());
    CHECK(a.all(9));
    REQUIRE(a.close());
}

TEST_CASE("scm: one that takes no writes leaves the open array, and no request fails") {
    const std::string lost = GENERATE("scm4", "scm5"), other = lost == "scm4" ? "scm5" : "scm4";
    const bool crashed = GENERATE(false, true);
    Mirrored a;
    REQUIRE(a.open());
    a.write_blocks(0, 10, 8);
    a.fails_on(lost);
    a.write_blocks(0, 1000, 8);  // REQUIREs that they are acknowledged
    CHECK(drive(a.core->stats(), lost).state == "out");
    CHECK(drive(a.core->stats(), lost).errors != 0);
    CHECK(drive(a.core->stats(), other).state == "online");
    CHECK(a.all(8));
    a.trim_blocks(0, 10);
    a.write_blocks(0, 10, 8);
    a.end(crashed);

    a.away = {other};
    CHECK(refusal(a).find("is missing") != std::string::npos);
    a.away = {lost};
    REQUIRE(a.open());
    CHECK(a.all(8));
    a.end(crashed);
    a.away = {};
    REQUIRE(a.open());
    CHECK(a.all(8));
    CHECK(a.core->array().scm_in_count() == 2);
    REQUIRE(a.close());
}

// After it the drive may have dropped what it had taken before.
TEST_CASE("scm: one failed flush, and the drive leaves") {
    Mirrored a;
    REQUIRE(a.open());
    a.write_blocks(0, 1000, 8);
    bool failed = false;
    a.power.fails = [&](const Io& io) {
        const bool now = !failed && io.kind == IoKind::flush && io.device->path() == "scm4";
        failed |= now;
        return now;
    };
    a.core->ask_snapshot();
    for (int i = 0; i < 10000; ++i) a.poll();
    REQUIRE(failed);
    CHECK(drive(a.core->stats(), "scm4").state == "out");
    CHECK_FALSE(a.core->failed());
    REQUIRE(a.close());
}

TEST_CASE("scm: a write that failed once is made again, and the drive stays") {
    Mirrored a;
    REQUIRE(a.open());
    int failed = 0;
    a.power.fails = [&](const Io& io) {
        return io.point == PersistencePoint::pmt_write_back && io.device->path() == "scm4" &&
               failed++ == 0;
    };
    a.write_blocks(0, 1000, 8);
    a.core->ask_snapshot();
    for (int i = 0; i < 10000; ++i) a.poll();
    CHECK(failed > 1);
    CHECK(drive(a.core->stats(), "scm4").state == "online");
    a.power.fails = nullptr;
    REQUIRE(a.close());
    a.away = {"scm5"};
    REQUIRE(a.open());
    CHECK(a.all(8));
    REQUIRE(a.close());
}

// The kernel may carry it out as a write and a flush, and drop what others wrote when that fails.
TEST_CASE("scm: one failed write that was to be durable, and the drive leaves, whatever succeeds") {
    Mirrored a;
    REQUIRE(a.open());
    bool failed = false;
    a.power.fails = [&](const Io& io) {
        const bool now = !failed && io.durable && io.device->path() == "scm4";
        failed |= now;
        return now;
    };
    bool done = false;
    Bytes data(kBlockBytes, std::byte{8});
    const auto volume = a.core->volume("v");
    REQUIRE(volume);
    REQUIRE(a.core->submit(**volume, {Op::write, 0, data.size(), data.data(), [&](Status s) {
                                          CHECK(s);
                                          done = true;
                                      }}));
    // Nobody has decided about the drive: the request waits.
    for (int i = 0; i < 10000; ++i) {
        for (const auto& w : a.core->workers()) w->poll(a.core->phase());
    }
    CHECK(failed);
    CHECK_FALSE(done);
    for (int i = 0; i < 2000; ++i) a.core->array().scm[0]->count_success(Io{.kind = IoKind::write});
    for (int i = 0; i < 10000 && !done; ++i) a.poll();
    CHECK(done);
    CHECK(drive(a.core->stats(), "scm4").state == "out");
    REQUIRE(a.close());
}

TEST_CASE("scm: writing ends when both fail, and nothing waits for ever") {
    Mirrored a;
    REQUIRE(a.open());
    a.power.fails = [](const Io& io) {
        return io.device->path().starts_with("scm") && io.kind != IoKind::read;
    };
    Buffer block(kBlockBytes);
    std::memset(block.data(), 8, block.size());
    CHECK_FALSE(a.request(Op::write, block.data()));
    CHECK(a.core->failed());
    for (int i = 0; !a.core->advance_close(); ++i) {
        REQUIRE(i < 100000);
        a.poll();
    }
    CHECK_FALSE(a.core->finish_close());
    a.core->release();
    a.core.reset();
    a.power.fails = nullptr;
    REQUIRE(a.open());
    CHECK(a.reads(1, 999, 7));
    REQUIRE(a.close());
}

TEST_CASE("scm: full file systems are not the drive's fault, and none leaves") {
    Mirrored a;
    REQUIRE(a.open());
    a.power.error = ENOSPC;
    a.fails_on("scm5");
    Buffer block(kBlockBytes);
    CHECK_FALSE(a.request(Op::write, block.data()));
    CHECK(drive(a.core->stats(), "scm5").state == "online");
    a.cut();
}

TEST_CASE("scm: one that fails while the array is opened is left out") {
    Mirrored a;
    a.fails_on("scm5");
    REQUIRE(a.open());
    CHECK(a.all(7));
    a.write_blocks(0, 100, 8);
    a.end(true);
    REQUIRE(a.open());
    CHECK(a.reads(0, 100, 8));
    CHECK(a.core->array().scm_in_count() == 2);
    REQUIRE(a.close());
}

// The two halves of an array with k = 2 could both go on.
TEST_CASE("scm: refused where the drives that are missing could have gone on by themselves") {
    Mirrored a;
    a.away = {"scm5", "qlc0", "qlc1"};
    CHECK(refusal(a).find("it may have gone on by itself") != std::string::npos);
    a.away = {"scm5", "qlc0"};
    REQUIRE(a.open());
    CHECK(a.all(7));
    REQUIRE(a.close());
}

// Each half has one QLC drive that was in and one that was out.
TEST_CASE("scm: refused where both halves could take back drives that were out") {
    Mirrored a;
    a.away = {"qlc2", "qlc3"};
    REQUIRE(a.open());
    REQUIRE(a.close());
    a.away = {"scm5", "qlc1", "qlc3"};
    CHECK(refusal(a).find("it may have gone on by itself") != std::string::npos);
    a.away = {"scm4", "qlc0", "qlc2"};
    CHECK(refusal(a).find("it may have gone on by itself") != std::string::npos);
    a.away = {};
    REQUIRE(a.open());
    CHECK(a.all(7));
    REQUIRE(a.close());
}

TEST_CASE("scm: cut off anywhere while it is filled, the drive is out or whole") {
    Mirrored a;
    const std::string lost = GENERATE("scm4", "scm5"), other = lost == "scm4" ? "scm5" : "scm4";
    CAPTURE(lost);
    a.away = {lost};
    REQUIRE(a.open());
    a.write_blocks(0, 1000, 8);
    REQUIRE(a.close());
    a.away = {};
    const std::vector<Bytes> before = a.media;
    std::uint64_t out = 0, in = 0;
    bool was_cut = true;
    for (std::uint64_t cut = first_transfer(); was_cut; cut += kNextTransfer) {
        INFO("cut " << cut);
        a.media = before;
        std::uint64_t seen = 0;
        was_cut = false;
        a.power.cut_before = [&](const Io& io) {
            const bool now =
                io.kind != IoKind::read && io.device->path().starts_with("scm") && ++seen == cut;
            was_cut |= now;
            return now;
        };
        const Status opened = a.open();
        a.power.cut_before = nullptr;
        if (a.core) a.cut();
        static_cast<void>(opened);
        const std::vector<Bytes> after = a.media;
        a.away = {other};
        if (a.open()) {
            ++in;
            CHECK(a.all(8));
            a.cut();
        } else {
            ++out;
        }
        a.media = after;
        a.away = {};
        REQUIRE(a.open());
        CHECK(a.all(8));
        REQUIRE(a.close());
    }
    CHECK(out > 5 / kNextTransfer);
    CHECK(in != 0);
}

TEST_CASE("scm: a damaged copy of a page of the table is read from the other, and mended") {
    Mirrored a;
    const bool at_opening = GENERATE(false, true);
    const ArrayLayout l = [&] {
        REQUIRE(a.open());
        const ArrayLayout layout = a.core->layout();
        if (at_opening)
            a.cut();
        else
            REQUIRE(a.close());
        return layout;
    }();
    const auto copy = [&](std::uint32_t n) {
        return a.media[4 + l.pmt_drive(PageId(0), n)].data() + l.pmt_page_offset(PageId(0), n);
    };
    std::memset(copy(0), 0x55, 512);
    REQUIRE(a.open());
    CHECK(a.all(7));
    CHECK(a.core->stats().recovery.kind == (at_opening ? "snapshot" : "clean"));
    REQUIRE(a.close());
    CHECK(std::memcmp(copy(0), copy(1), kBlockBytes) == 0);
}

// One copy has what was written back, and the other does not: what recovery takes comes to both.
TEST_CASE("scm: copies of a page that a power cut left different are alike after the recovery") {
    const std::string stays = GENERATE("scm4", "scm5");
    Mirrored a;
    a.counted_pages = GENERATE(0u, 65536u);  // with patches, and without
    REQUIRE(a.open());
    std::vector<Bytes> before = a.media;
    a.write_blocks(0, 1000, 8);
    const ArrayLayout l = a.core->layout();
    a.core->ask_snapshot();
    a.power.cut_before = [&](const Io& io) { return io.point == PersistencePoint::snapshot_write; };
    for (int i = 0; i < 10000 && a.power.on; ++i) a.poll();
    a.power.cut_before = nullptr;
    a.cut();
    const std::size_t old = stays == "scm4" ? 4 : 5;
    std::memcpy(a.media[old].data() + l.pmt_offset, before[old].data() + l.pmt_offset,
                l.p.regions.pmt.bytes);
    REQUIRE(a.open());
    CHECK(a.all(8));
    REQUIRE(a.close());
    for (const char* other : {"scm4", "scm5"}) {
        const std::vector<Bytes> closed = a.media;
        a.away = {other};
        REQUIRE(a.open());
        CHECK(a.all(8));
        a.cut();
        a.media = closed;
    }
}

TEST_CASE("scm: with one copy of the table every drive is needed") {
    CoreArray array(1, {.pmt_copies = 1});
    array.open_and_write_sevens();
    REQUIRE(array.close());
    array.away = {"scm5"};
    CHECK(refusal(array).find("every scm drive is needed to open") != std::string::npos);
}

TEST_CASE("scm: an empty drive takes the place of one, and the power goes at any transfer") {
    Mirrored a;
    const std::vector<Bytes> before = a.media;
    Bytes fresh(Shape{}.drive_bytes);
    bool done = false;
    for (std::uint64_t cut = first_transfer(); !done; cut += kNextTransfer) {
        INFO("cut " << cut);
        a.media = before;
        std::ranges::fill(fresh, std::byte{0});
        a.away = {"scm5"};
        a.power.on = true;
        Replacement r;
        r.role = DeviceRole::scm;
        r.devices = a.drives();
        r.fresh = std::make_unique<CoreDrive>("new", fresh, a.power);
        a.power.cut_before = [cut, n = std::uint64_t{0}](const Io& io) mutable {
            return io.kind != IoKind::read && ++n == cut;
        };
        IoQueue queue;
        done = replace_drive(std::move(r), a.random, queue).has_value();
        a.power.cut_before = nullptr;
        REQUIRE(a.open());  // without it, whether it was replaced or not
        CHECK(a.all(7));
        REQUIRE(a.close());
        if (!done) continue;
        a.media = before;
    }
    std::swap(a.media[5], fresh);
    a.away = {"scm4"};
    const Status opened = a.open();
    CHECK_FALSE(opened);  // the drives are as they were before: `new` is no member
}

TEST_CASE("scm: one that fails while the last tables are written does not keep it from closing") {
    const std::string lost = GENERATE("scm4", "scm5"), other = lost == "scm4" ? "scm5" : "scm4";
    const PersistencePoint point =
        GENERATE(PersistencePoint::band_table_write, PersistencePoint::band_table_flush,
                 PersistencePoint::table_bits_write, PersistencePoint::table_bits_flush);
    Mirrored a;
    REQUIRE(a.open());
    a.write_blocks(0, 1000, 8);
    while (!a.core->advance_close()) a.poll();
    int failed = 0;
    a.power.fails = [&](const Io& io) {
        const bool fails = io.device->path() == lost && io.point == point;
        failed += fails ? 1 : 0;
        return fails;
    };
    REQUIRE(a.core->finish_close());
    const bool always =
        point == PersistencePoint::band_table_write || point == PersistencePoint::band_table_flush;
    CHECK(failed >= (always ? 1 : 0));
    CHECK(failed <= 1);
    a.core->release();
    a.core.reset();
    a.power.fails = nullptr;
    if (failed != 0) {
        a.away = {other};
        CHECK(refusal(a).find("one scm drive that has the newest writes is needed") !=
              std::string::npos);
    }
    a.away = {lost};
    REQUIRE(a.open());
    CHECK(a.all(8));
    REQUIRE(a.close());
    a.away = {};
    REQUIRE(a.open());
    CHECK(a.all(8));
    CHECK(a.core->array().scm_in_count() == 2);
    REQUIRE(a.close());
}
