// SPDX-License-Identifier: Apache-2.0
// QLC drives that leave an open array, and what they are known by when they are back.
#include <catch2/catch.hpp>

#include "core_array.h"

using namespace qlcshape;

// Attempts that fail go to place after place. The record that all have had must stay.
TEST_CASE(
    "leaving: drives that refuse one superblock after the other are known when they are back") {
    const std::uint32_t records = GENERATE(1u, 2u);  // in a unit
    const int before = GENERATE(range(0, 4));
    const Shape shape{4, 32 * KiB, records * kSuperblockRecordMin};
    CoreArray array(1, shape);
    REQUIRE(array.open());
    for (int i = 0; i < before; ++i)
        REQUIRE(array.core->create_volume("v" + std::to_string(i), 64 * KiB));
    int attempts = 0;
    array.power.fails = [&](const Io& io) {
        if (io.point != PersistencePoint::qlc_superblock_flush) return false;
        if (io.device->path() == "qlc0") return true;
        return io.device->path() == "qlc1" && ++attempts > 1;
    };
    REQUIRE(array.core->create_volume("w", 64 * KiB));
    CHECK(array.core->array().drives_in().count() == 4);
    array.power.fails = nullptr;
    const bool crashed = GENERATE(false, true);
    if (crashed)
        array.cut();
    else
        REQUIRE(array.close());
    const Status opened = array.open();
    INFO((opened ? "" : opened.error().message));
    REQUIRE(opened);
    CHECK(array.core->array().drives_in().count() == 6);
    CHECK(array.core->volume("w"));
    REQUIRE(array.close());
}

// The others have a record that the QLC drives must not lose, though it never came into force.
TEST_CASE("leaving: an scm drive that refuses a superblock, and the power goes at any transfer") {
    const std::uint32_t records = GENERATE(1u, 2u);  // in a unit
    const int before = GENERATE(range(0, 4));
    const std::string refuses = GENERATE("scm6", "scm7");
    bool done = false;
    for (std::uint64_t cut = first_transfer(); !done; cut += kNextTransfer) {
        CAPTURE(records, before, refuses, cut);
        CoreArray array(1, {4, 32 * KiB, records * kSuperblockRecordMin});
        REQUIRE(array.open());
        for (int i = 0; i < before; ++i)
            REQUIRE(array.core->create_volume("v" + std::to_string(i), 64 * KiB));
        array.power.fails = [&](const Io& io) {
            return io.device->path() == refuses &&
                   io.point == PersistencePoint::scm_superblock_write;
        };
        array.power.cut_before = [&, n = std::uint64_t{0}](const Io& io) mutable {
            return io.kind != IoKind::read && ++n == cut;
        };
        done = array.core->create_volume("w", 64 * KiB) && array.power.on;
        array.power.cut_before = nullptr;
        array.power.fails = nullptr;
        array.cut();
        const Status opened = array.open();
        INFO((opened ? "" : opened.error().message));
        REQUIRE(opened);
        CHECK((!done || array.core->volume("w")));
        array.cut();
    }
}
