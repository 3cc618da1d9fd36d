// SPDX-License-Identifier: Apache-2.0
// What an array says of drives that fail once, always, or return something else than was written.
#include <fmt/ranges.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

#include "core_array.h"

using namespace qlcshape;

namespace {

Status request(CoreArray& a, Op op, std::uint64_t lba, Bytes& data) {
    return a.request(op, data.data(), data.size(), lba * kBlockBytes);
}

// The next `times` transfers that fit fail.
void fail_some(CoreArray& a, int times, std::function<bool(const Io&)> fits) {
    a.power.fails = [times, fits](const Io& io) mutable {
        return times > 0 && fits(io) && times--;
    };
}

void open_with_volume(CoreArray& a) {
    REQUIRE(a.open());
    REQUIRE(a.core->create_volume("v", 4 * MiB));
}

void write_while_one_transfer_fails(CoreArray& a) {
    open_with_volume(a);
    Bytes data(512 * KiB, std::byte{1});
    fail_some(a, 1,
              [](const Io& io) { return io.kind == IoKind::write && io.device->path() == "qlc1"; });
    REQUIRE(request(a, Op::write, 0, data));
}

}  // namespace

TEST_CASE("causes: a transfer that failed once is counted, and no reason for alarm") {
    CoreArray a;
    write_while_one_transfer_fails(a);
    for (int i = 0; i < 10'000; ++i) a.poll();
    const Stats s = a.core->stats();
    CHECK(s.health == "ok");
    CHECK(s.devices[1].errors == 1);
    CHECK(s.errors.commit_retries >= 1);
}

TEST_CASE("causes: a drive whose last transfers all failed is failing until one succeeds") {
    CoreArray a;
    const auto drives = a.drives();
    Io io{.device = drives[0].get(), .error_number = EIO};
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(drives[0]->failing());
        drives[0]->count_failure(io);
    }
    CHECK(drives[0]->failing());
    drives[0]->count_success(Io{});
    CHECK_FALSE(drives[0]->failing());
    CHECK(drives[0]->failures() == 3);
}

TEST_CASE("causes: what ended writing is named, not what failed before") {
    CoreArray a(1, {.pmt_copies = 1});
    write_while_one_transfer_fails(a);
    fail_some(a, 1000,
              [](const Io& io) { return io.kind == IoKind::write && io.device->path() == "scm5"; });
    Bytes small(kBlockBytes, std::byte{2});
    CHECK_FALSE(request(a, Op::write, 1, small));
    for (int i = 0; i < 100; ++i) a.poll();
    a.power.fails = nullptr;
    const Stats s = a.core->stats();
    CHECK(s.state == "failed");
    INFO(s.cause);
    CHECK(s.cause.find("scm5: write of") != std::string::npos);
    CHECK(s.cause.find("qlc1") == std::string::npos);
}

TEST_CASE("causes: a drive that returns something else is named with the offset") {
    CoreArray a;
    open_with_volume(a);
    Bytes data(512 * KiB);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i / 4096 + 1);
    REQUIRE(request(a, Op::write, 0, data));
    REQUIRE(a.close());
    // The block with the mark of LBA 3 on whichever drive has it.
    std::size_t drive = 0, at = 0;
    for (std::size_t d = 0; d < 4; ++d) {
        for (std::size_t o = 0; o < a.media[d].size(); o += kBlockBytes) {
            if (a.media[d][o] == std::byte{4} && a.media[d][o + 4095] == std::byte{4})
                drive = d, at = o;
        }
    }
    REQUIRE(at != 0);
    a.media[drive][at + 100] ^= std::byte{0xff};
    REQUIRE(a.open());
    Bytes got(kBlockBytes);
    REQUIRE(request(a, Op::read, 3, got));
    CHECK(got == Bytes(kBlockBytes, std::byte{4}));
    const Stats s = a.core->stats();
    CHECK(s.devices[drive].checksum_errors == 1);
    CHECK(s.devices[drive].last_checksum_error_offset == at);
    for (std::size_t d = 0; d < 6; ++d) {
        if (d != drive) CHECK(s.devices[d].checksum_errors == 0);
    }
}

TEST_CASE("causes: how long drives last is told of a day, not of seconds") {
    constexpr std::uint64_t kHour = 3'600'000'000'000;
    CoreArray a;
    open_with_volume(a);
    Bytes data(2 * MiB, std::byte{1});
    REQUIRE(request(a, Op::write, 0, data));
    a.clock.pass(23 * kHour);
    CHECK(a.core->stats().endurance.cycles_used > 0);
    CHECK(a.core->stats().endurance.days_left == 0);
    a.clock.pass(kHour);
    CHECK(a.core->stats().endurance.days_left > 0);
    a.cut();
}

TEST_CASE("causes: what the system refuses is told with what helps, and no drive is blamed") {
    const struct {
        int error;
        const char* remedy;
    } kCases[] = {{ENOSPC, "free space on the file system that holds"},
                  {EDQUOT, "raise the quota"},
                  {EFBIG, "ulimit -f"},
                  {EROFS, "remount,rw"},
                  {EPERM, "let this user write to"},
                  {EACCES, "let this user write to"}};
    for (const auto& c : kCases) {
        INFO(strerrorname_np(c.error));
        CoreArray a;
        open_with_volume(a);
        a.power.error = c.error;
        a.power.fails = [](const Io& io) { return io.kind == IoKind::write; };
        Bytes data(4 * MiB, std::byte{1});
        const Status written = request(a, Op::write, 0, data);
        REQUIRE_FALSE(written);
        INFO(written.error().message);
        for (int i = 0; i < 10'000; ++i) a.poll();
        const auto says = [&](const std::string& text) {
            INFO(text);
            CHECK(text.find(c.remedy) != std::string::npos);
            CHECK(text.find("reconnect") == std::string::npos);
        };
        says(written.error().message);
        CHECK(written.error().message.ends_with(", then close the array and open it again"));
        const Stats s = a.core->stats();
        CHECK(s.health == "failed");
        says(fmt::format("{}", fmt::join(s.health_reasons, "; ")));
        says(s.remedy);
        CHECK(s.cause.starts_with("after the system refused a transfer ("));
        for (const DeviceStatus& d : s.devices) CHECK_FALSE(d.failing);
        while (!a.core->advance_close()) a.poll();
        const Status closed = a.core->finish_close();
        REQUIRE_FALSE(closed);
        says(closed.error().message);
        CHECK(closed.error().message.ends_with(", then open the array again"));
        a.core.reset();
        // What is acknowledged is in the TPS alone, so recovery has to write, which is refused.
        const Status opened = a.open();
        REQUIRE_FALSE(opened);
        says(opened.error().message);
        a.power.fails = nullptr;
        CHECK(a.open());
    }
}
