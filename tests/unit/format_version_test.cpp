// SPDX-License-Identifier: Apache-2.0
// Arrays of another format are refused in words that help, whatever else of them looks right.
#include "format/format_version.h"

#include <cstring>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "device/io.h"
#include "format/bits.h"
#include "format/superblock.h"
#include "test_array.h"

using namespace qlcshape;

namespace {

// The first block of a drive of version 2 as `create` of that time wrote it; the rest of it is
// zeroes.
constexpr std::uint64_t kVersion2[] = {
    0x4550414853434c51, 0x02200002aee6e00d, 0x00010000814715ef, 0x0000000000000000,
    0x0000000000000000, 0x0000000000000000, 0xa14dd5ece6bc0196, 0x9da4c04014436eb6,
    0x4e4886418608ca79, 0x12aa275a3ed1b686, 0x0000000000000001, 0x0000000000000000,
    0x0000000000000001, 0x0000000000000000, 0x0000000000000000, 0x0000000000000001,
    0x0000000000000001, 0x0000000000008000, 0x0000000000080000, 0x0000000001800000,
    0x0000000001000000, 0x0000000000080000, 0x0000000600000004, 0x00030d4000000002,
    0x0000000100000001, 0x0000000100000001, 0x00080f200f302601, 0x0000000000000000,
    0x0000007265646c6f,
};

constexpr const char* kWayOver = "create another array with this program, and copy the volumes";

void transfer_first_block(const std::string& path, IoKind kind, const Buffer& block) {
    auto device = open_device(path, 0, Access::read_write, false);
    REQUIRE(device);
    Io io;
    io.kind = kind;
    io.device = device->get();
    io.bytes = block.size();
    io.data = block.data();
    IoQueue queue;
    REQUIRE(run(queue, io));
}

void make_version_2(const std::string& path) {
    const Buffer block(kBlockBytes);
    std::memcpy(block.data(), kVersion2, sizeof(kVersion2));
    transfer_first_block(path, IoKind::write, block);
}

void change_format(const std::string& path, std::size_t at, std::uint16_t value) {
    const Buffer block(kBlockBytes);
    transfer_first_block(path, IoKind::read, block);
    store(block.data() + at, value);
    store<std::uint32_t>(block.data() + 8, 0);
    store<std::uint32_t>(block.data() + 8, crc32c(block.span()));
    transfer_first_block(path, IoKind::write, block);
}

template <class T>
void check_refused(const Result<T>& outcome, const std::vector<std::string>& words) {
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == Errc::unsupported);
    INFO(outcome.error().message);
    for (const std::string& word : words) {
        INFO(word);
        CHECK(outcome.error().message.find(word) != std::string::npos);
    }
}

std::string ours() { return fmt::format("draft {} of version 3", kFormatDraft); }

}  // namespace

TEST_CASE("format: an array of version 2 is refused by both versions and with the way over") {
    TestArray a("version_2");
    for (const DeviceOptions& d : a.options.devices) make_version_2(d.path);
    const std::vector<std::string> words = {a.options.devices[0].path, "is version 2", ours(),
                                            kWayOver};
    check_refused(Engine::open(a.options), words);
    check_refused(Engine::inspect(a.options), words);
    a.options.read_only = true;
    check_refused(Engine::open(a.options), words);
    const Status created = Engine::create(a.options);
    REQUIRE_FALSE(created);
    CHECK(created.error().code == Errc::exists);
}

TEST_CASE("format: one drive of version 2 among others is named") {
    const TestArray a("version_mixed");
    const std::string& path = a.options.devices[2].path;
    make_version_2(path);
    check_refused(Engine::open(a.options), {path, "is version 2", "correct its path"});
    const auto stats = Engine::inspect(a.options);
    REQUIRE(stats);
    CHECK(stats->devices[2].state == "failed");
    CHECK(stats->devices[2].last_error.find("is version 2") != std::string::npos);
}

TEST_CASE("format: arrays of another draft, and of a later version") {
    const TestArray a("version_later");
    const auto refused_as = [&](std::size_t at, int value, const std::string& word) {
        for (const DeviceOptions& d : a.options.devices)
            change_format(d.path, at, static_cast<std::uint16_t>(value));
        check_refused(Engine::open(a.options), {word, ours()});
    };
    refused_as(14, kFormatDraft + 1, fmt::format("is draft {} of version 3", kFormatDraft + 1));
    refused_as(14, 0, "is version 3, and");
    refused_as(14, 0, "the newer release that wrote it");
    for (int earlier = 1; earlier < kFormatDraft; ++earlier) refused_as(14, earlier, kWayOver);
    refused_as(12, kFormatVersion + 1, "the newer release that wrote it");
    for (const DeviceOptions& d : a.options.devices) {
        change_format(d.path, 12, kFormatVersion);
        change_format(d.path, 14, kFormatDraft);
    }
    CHECK(Engine::open(a.options));
}
