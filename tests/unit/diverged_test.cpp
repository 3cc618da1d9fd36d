// SPDX-License-Identifier: Apache-2.0
// A drive of a copy of the array, which was opened by itself, among the array's own drives.
#include "meta/diverged.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "core_array.h"

using namespace qlcshape;

namespace {

void use(CoreArray& array, int openings) {
    for (int i = 0; i < openings; ++i) {
        REQUIRE(array.open());
        Bytes block(kBlockBytes, std::byte{7});
        auto volume = array.core->volume("v");
        REQUIRE(volume);
        bool done = false;
        REQUIRE(array.core->submit(**volume, {Op::write, 0, kBlockBytes, block.data(),
                                              [&](Status status) { done = status.has_value(); }}));
        for (int polls = 0; polls < 10000 && !done; ++polls) array.poll();
        REQUIRE(done);
        array.cut();
    }
}

// As a power cut leaves it that tore each drive's newest superblock behind its first block.
void tear_newest(CoreArray& array) {
    for (Bytes& media : array.media) {
        std::uint64_t newest = 0, at = 0;
        for (std::uint64_t offset = 0; offset < media.size(); offset += kBlockBytes) {
            const auto peek = peek_superblock({media.data() + offset, kBlockBytes});
            if (!peek || peek->generation <= newest) continue;
            newest = peek->generation;
            at = offset;
        }
        media[at + kBlockBytes] ^= std::byte{1};
    }
}

}  // namespace

TEST_CASE("diverged: a drive of a copy that was opened by itself is refused by name") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", MiB));
    array.cut();
    const std::vector<Bytes> before = array.media;
    const int here = GENERATE(1, 2), there = GENERATE(1, 2);
    use(array, here);
    const std::vector<Bytes> mine = array.media;
    array.media = before;
    use(array, there);
    const std::vector<Bytes> copy = array.media;
    for (std::size_t i = 0; i < mine.size(); ++i) {
        const std::string name = array.options.devices[i].path;
        INFO(here << " openings, of the copy " << there << ", its " << name);
        array.media = mine;
        array.media[i] = copy[i];
        const Status opened = array.open();
        REQUIRE_FALSE(opened);
        INFO(opened.error().message);
        CHECK(opened.error().code == Errc::stale_device);
        // The copy's may be the newer one: then the others look older than it.
        if (there <= here) CHECK(opened.error().message.starts_with(name + ":"));
    }
    array.media = mine;
    REQUIRE(array.open());
    array.cut();
}

TEST_CASE("diverged: what contradicts, and who is named") {
    const SuperblockMark a8{8, 1, 100}, a9{9, 2, 101}, b9{9, 2, 102}, b10{10, 3, 103};
    const auto named = [](const std::vector<DriveHistory>& drives) {
        const Status status = refuse_diverged(drives);
        return status ? "" : status.error().message.substr(0, 1);
    };
    CHECK(named({}).empty());
    CHECK(named({{"a", a9, {a8, a9}}, {"b", a8, {a8}}, {"c", a9, {a9}}}).empty());
    CHECK(named({{"a", a9, {a8, a9}}, {"b", b9, {a8, b9}}, {"c", a9, {a8, a9}}}) == "b");
    CHECK(named({{"a", b9, {a8, b9}}, {"b", a9, {a8, a9}}, {"c", a9, {a8, a9}}}) == "a");
    CHECK(named({{"a", b10, {a8, b9, b10}}, {"b", b10, {b9, b10}}, {"c", a9, {a8, a9}}}) == "c");
    // An append that was cut off, and written again under another key.
    CHECK(named({{"a", b10, {b9, b10}}, {"b", b10, {a9, b9, b10}}, {"c", b10, {b10}}}).empty());
}

// The next opening gives its generation again, under another key.
TEST_CASE("diverged: a superblock that a power cut tore contradicts nobody") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", MiB));
    for (int openings = 0; openings < 3; ++openings) {
        array.cut();
        tear_newest(array);
        const Status opened = array.open();
        INFO((opened ? "" : opened.error().message));
        REQUIRE(opened);
    }
    array.cut();
    REQUIRE(array.open());
}

// It is on some drives by its first block, and two drives have the next one of that generation.
TEST_CASE("diverged: an append that was cut off, and then an opening, leave an array that opens") {
    const int torn = GENERATE(1, 2, 4);  // QLC drives that have the first block
    CAPTURE(torn);
    CoreArray array;
    array.open_and_write_sevens();
    int writes = 0;
    array.power.cut_before = [&](const Io& io) {
        if (!begins_qlc_superblock(io)) return false;
        const auto drive = static_cast<std::size_t>(io.device->path().back() - '0');
        if (writes++ < torn)
            std::memcpy(array.media[drive].data() + io.offset, io.data, kBlockBytes);
        return true;
    };
    CHECK_FALSE(array.core->create_volume("w", MiB));
    array.cut();
    writes = 0;
    array.power.cut_before = [&](const Io& io) {
        return begins_qlc_superblock(io) && ++writes > 4;
    };
    REQUIRE_FALSE(array.open());
    array.core.reset();
    array.power.cut_before = nullptr;
    const Status opened = array.open();
    INFO((opened ? "" : opened.error().message));
    REQUIRE(opened);
    array.cut();
}
