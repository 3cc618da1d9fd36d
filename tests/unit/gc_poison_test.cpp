// SPDX-License-Identifier: Apache-2.0
// A block that is lost, with more of its stripe than parity brings back, stays an error: also when
// GC has moved it, and when the table was built from headers afterwards.
#include <catch2/catch.hpp>
#include <vector>

#include "core_array.h"
#include "format/segment_header.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kOldBlocks = 248;                // they fill a band
constexpr std::uint64_t kLost = 100;                     // its block of the volume
constexpr int kOlder = 200, kNewest = 201, kNext = 202;  // what fills it

struct Place {
    std::uint32_t drive;
    std::uint64_t offset;
};

struct Poisoned : CoreArray {
    Buffer data{64 * KiB};
    std::uint64_t blocks = 0;  // of the volume: all that there is

    Poisoned() {
        REQUIRE(open());
        blocks = core->layout().writable_blocks;
        REQUIRE(core->create_volume("v", blocks * kBlockBytes));
    }
    void write(std::uint64_t block, std::uint64_t count, int value) {
        std::memset(data.data(), value, count * kBlockBytes);
        REQUIRE(request(Op::write, data.data(), count * kBlockBytes, block * kBlockBytes));
    }
    Status read_lost() { return request(Op::read, data.data(), kBlockBytes, kLost * kBlockBytes); }
    bool reads(int value) {
        const Status done = read_lost();
        return done && std::all_of(data.data(), data.data() + kBlockBytes,
                                   [&](std::byte b) { return b == static_cast<std::byte>(value); });
    }
    struct Strip {
        BandId band;
        std::uint32_t segment;
    };
    Strip strip_at(std::uint64_t offset) const {
        const ArrayLayout& l = core->layout();
        const std::uint64_t in_bands = offset - l.slot_offset(kSuperblockUnits);
        return {BandId(static_cast<std::uint32_t>(in_bands / l.p.band_bytes)),
                static_cast<std::uint32_t>(in_bands % l.p.band_bytes / l.p.strip_bytes)};
    }
    std::uint32_t role_of(const Place& p) const {
        const ArrayLayout& l = core->layout();
        const Strip s = strip_at(p.offset);
        for (std::uint32_t role = 0;; ++role) {
            if (home_of(l, s.band, s.segment, role).drive == p.drive) return role;
        }
    }
    // Where on QLC drives a block of data full of `value` lies.
    std::vector<Place> find(int value) const {
        std::vector<Place> places;
        const std::vector<std::byte> block(kBlockBytes, static_cast<std::byte>(value));
        const ArrayLayout& l = core->layout();
        for (std::uint32_t d = 0; d < l.p.qlc_count; ++d) {
            for (std::uint64_t at = l.slot_offset(kSuperblockUnits); at < media[d].size();
                 at += kBlockBytes) {
                if (role_of({d, at}) < l.p.data_strips &&
                    std::memcmp(media[d].data() + at, block.data(), kBlockBytes) == 0)
                    places.push_back({d, at});
            }
        }
        return places;
    }
    // The block, and P and Q of its row, each at another byte: of equal errors of P and Q one of
    // the two data strips can still be proved.
    void spoil(const Place& p) {
        const ArrayLayout& l = core->layout();
        for (std::uint32_t d = 0; d < l.width(); ++d) {
            if (d == p.drive || role_of({d, p.offset}) >= l.p.data_strips)
                media[d][p.offset + 77 + (d == p.drive ? 0 : 1 + d)] ^= std::byte{0x40};
        }
    }
    bool is_spoilt(const Place& p, int value) const {
        const std::byte* at = media[p.drive].data() + p.offset;
        return at[76] == static_cast<std::byte>(value) &&
               at[77] == static_cast<std::byte>(value ^ 0x40);
    }
    // Whether the header of the segment at that strip of drive `drive` has a poisoned entry.
    bool has_poisoned(const Place& p) {
        const ArrayLayout& l = core->layout();
        const SegmentHeader header(l, media[p.drive].data() + p.offset);
        const Strip s = strip_at(p.offset);
        if (!header.valid(core->array().array, s.band, s.segment)) return false;
        for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
            if (header.entry(slot).kind == EntryKind::poisoned) return true;
        }
        return false;
    }
    std::vector<Place> find_poisoned() {
        const ArrayLayout& l = core->layout();
        std::vector<Place> places;
        for (std::uint64_t at = l.slot_offset(kSuperblockUnits);
             at < l.slot_offset(l.drive_slots()); at += l.p.strip_bytes) {
            const Strip s = strip_at(at);
            const Place p{home_of(l, s.band, s.segment, 0).drive, at};
            if (has_poisoned(p)) places.push_back(p);
        }
        return places;
    }
    // Overwrites what is not in the first band until GC has erased what is to go.
    void move(const std::function<bool()>& is_there) {
        for (int i = 0; is_there(); ++i) {
            REQUIRE(i < 200000);
            const std::uint64_t n = 1 + random.below(16);
            write(kOldBlocks + random.below(blocks - kOldBlocks - n), n, i % 100);
        }
    }
    void fill_the_rest() {
        for (std::uint64_t b = kOldBlocks; b + 16 <= blocks; b += 16) write(b, 16, 1);
    }
};

}  // namespace

TEST_CASE("gc: a lost block that was moved stays an error until it is overwritten or trimmed") {
    const bool older_left = GENERATE(false, true);
    CAPTURE(older_left);
    Poisoned a;
    // The older copy is among what stays valid, so that GC leaves its band alone.
    for (std::uint64_t b = 0; b < kOldBlocks; b += 4) a.write(b, 4, b == kLost ? kOlder : 2);
    if (!older_left) REQUIRE(a.request(Op::trim, nullptr, MiB, 0));
    a.write(kLost, 1, kNewest);
    a.fill_the_rest();
    REQUIRE(a.reads(kNewest));
    const std::vector<Place> lost = a.find(kNewest);  // also where GC moved it from
    REQUIRE_FALSE(lost.empty());
    for (const Place& place : lost) a.spoil(place);
    const Status unreadable = a.read_lost();
    REQUIRE_FALSE(unreadable);
    CHECK(unreadable.error().code == Errc::media_error);

    a.move([&] {
        return std::ranges::any_of(lost, [&](const Place& p) { return a.is_spoilt(p, kNewest); });
    });
    CHECK_FALSE(a.read_lost());
    const std::vector<Place> poisoned = a.find_poisoned();
    REQUIRE_FALSE(poisoned.empty());
    const int more_moves = GENERATE(0, 1);
    CAPTURE(more_moves);
    if (more_moves != 0) {
        a.move([&] {
            return std::ranges::any_of(poisoned, [&](const Place& p) { return a.has_poisoned(p); });
        });
        CHECK_FALSE(a.read_lost());
    }
    if (older_left) CHECK_FALSE(a.find(kOlder).empty());
    a.cut_without_snapshots();
    REQUIRE(a.open());
    CHECK(a.core->stats().recovery.kind == "full");
    const Status still = a.read_lost();
    REQUIRE_FALSE(still);
    CHECK(still.error().code == Errc::media_error);

    int expected = 0;
    SECTION("trimmed") { REQUIRE(a.request(Op::trim, nullptr, kBlockBytes, kLost * kBlockBytes)); }
    SECTION("overwritten") {
        a.write(kLost, 1, kNext);
        expected = kNext;
    }
    CHECK(a.reads(expected));
    a.cut_without_snapshots();
    REQUIRE(a.open());
    CHECK(a.reads(expected));
    a.cut();
}

// Drives that answer no reads for a while, and take writes: what they have may come back.
TEST_CASE("gc: blocks of drives that don't answer are not given up") {
    Poisoned a;
    for (std::uint64_t b = 0; b < kOldBlocks; b += 8) a.write(b, 8, kOlder);
    a.fill_the_rest();
    // Just after GC has read a header, each time.
    const ArrayLayout& l = a.core->layout();
    a.power.fails = [&](const Io& io) {
        const bool header = io.offset != 0 && io.offset % l.p.strip_bytes == 0;
        return io.kind == IoKind::read && io.device->path() < "qlc3" && !header;
    };
    // Until GC has tried every band that it can get.
    Status outcome;
    for (int i = 0; outcome && i < 20000; ++i) {
        const std::uint64_t n = 1 + a.random.below(16);
        std::memset(a.data.data(), 1, n * kBlockBytes);
        const std::uint64_t block = a.random.below(a.blocks - n);
        const bool old = block < kOldBlocks;
        outcome = a.request(Op::write, a.data.data(), n * kBlockBytes,
                            (old ? kOldBlocks : block) * kBlockBytes);
    }
    CHECK(a.find_poisoned().empty());
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().message.find("reconnect the drives") != std::string::npos);
    a.power.fails = nullptr;
    a.cut_without_snapshots();
    REQUIRE(a.open());
    for (std::uint64_t b = 0; b < kOldBlocks; ++b) {
        REQUIRE(a.request(Op::read, a.data.data(), kBlockBytes, b * kBlockBytes));
        REQUIRE(a.data.data()[0] == static_cast<std::byte>(kOlder));
    }
    a.cut();
}

// Long enough for the first of some blocks that are read at once, and for no others.
TEST_CASE("gc: blocks of drives that were away for a moment are not given up") {
    Poisoned a;
    for (std::uint64_t b = 0; b < kOldBlocks; b += 8) a.write(b, 8, kOlder);
    a.fill_the_rest();
    const ArrayLayout& l = a.core->layout();
    int probes = 0;
    bool moving = false;
    a.power.fails = [&](const Io& io) {
        if (io.kind != IoKind::read || probes == 3) return false;
        const bool header = io.offset != 0 && io.offset % l.p.strip_bytes == 0;
        moving = moving || (!header && io.bytes > kBlockBytes);
        if (!moving || header || io.device->path() >= "qlc3") return false;
        probes += io.offset == 0 ? 1 : 0;
        return true;
    };
    for (int i = 0; i < 6000; ++i) {
        const std::uint64_t n = 1 + a.random.below(16);
        std::memset(a.data.data(), 1, n * kBlockBytes);
        const std::uint64_t block = kOldBlocks + a.random.below(a.blocks - kOldBlocks - n);
        REQUIRE(a.request(Op::write, a.data.data(), n * kBlockBytes, block * kBlockBytes));
    }
    CHECK(probes == 3);
    CHECK(a.find_poisoned().empty());
    for (std::uint64_t b = 0; b < kOldBlocks; ++b) {
        REQUIRE(a.request(Op::read, a.data.data(), kBlockBytes, b * kBlockBytes));
        REQUIRE(a.data.data()[0] == static_cast<std::byte>(kOlder));
    }
    a.cut();
}
