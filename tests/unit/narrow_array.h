// SPDX-License-Identifier: Apache-2.0
// An array of which bands lack columns on drives that are there.
#pragma once

#include "checked_array.h"

namespace qlcshape {

// All blocks of a volume are written while drives are missing, which are there from then on.
struct NarrowArray : CheckedArray {
    std::set<std::string> missing;
    ArrayLayout l;
    std::uint64_t blocks = 0;

    explicit NarrowArray(std::set<std::string> drives, const Shape& shape = {},
                         std::uint64_t bands = 3)
        : CheckedArray(1, shape), missing(std::move(drives)) {
        away = missing;
        REQUIRE(open());
        l = core->layout();
        blocks = bands * l.slots_per_band();
        REQUIRE(core->create_volume("v", div_up(blocks * kBlockBytes, MiB) * MiB));
        write_all(7);
        REQUIRE(close());
        away.clear();
    }
    ~NarrowArray() {
        power = Power{};
        power.on = true;
        if (core) cut();
    }
    void write_all(int value) {
        const std::uint64_t step = l.slots_per_segment;
        for (std::uint64_t at = 0; at < blocks; at += step)
            write_blocks(at, std::min(step, blocks - at), value);
    }
    void settle() {
        for (int i = 0; i < 2000; ++i) poll();
    }
    bool whole() {
        const Stats::Protection p = core->stats().protection;
        return p.none == 0 && p.one == 0;
    }
    void heal() {
        for (int i = 0; i < 100'000 && !whole(); ++i) poll();
        REQUIRE(whole());
        CHECK(core->stats().rebuild.bands_left == 0);
    }
    std::uint64_t narrow() {
        const Stats::Protection p = core->stats().protection;
        return p.none + p.one;
    }
    // Without any two drives.
    void reads_without_two(int value) {
        for (std::size_t a = 0; a < l.width(); ++a) {
            for (std::size_t b = a + 1; b < l.width(); ++b) {
                options.read_only = true;
                away = {options.devices[a].path, options.devices[b].path};
                REQUIRE(open());
                CHECK(reads(0, blocks, value));
                CHECK(core->stats().errors.unreadable == 0);
                REQUIRE(close());
            }
        }
        options.read_only = false;
        away.clear();
    }
    void ends_whole(int value) {
        CHECK(problems() == std::vector<std::string>{});
        reads_without_two(value);
    }
    // The slot of a band on a drive.
    bool blank(BandId band, std::size_t drive) {
        const auto at = media[drive].begin() +
                        static_cast<std::ptrdiff_t>(l.slot_offset(kSuperblockUnits + band.value));
        return std::all_of(at, at + static_cast<std::ptrdiff_t>(l.p.band_bytes),
                           [](std::byte byte) { return byte == std::byte{0}; });
    }
};

inline bool is_rebuild(const Io& io) {
    return io.point == PersistencePoint::rebuild_discard ||
           io.point == PersistencePoint::rebuild_write ||
           io.point == PersistencePoint::rebuild_flush;
}

using Paths = std::set<std::string>;

}  // namespace qlcshape
