// SPDX-License-Identifier: Apache-2.0
// Superblocks on drives whose transfers fail now and then.
#include "recovery/superblock_store.h"

#include <catch2/catch.hpp>

#include "core_array.h"

using namespace qlcshape;

// The older record counts only if the newer one really can't be read: its unit is discarded next.
// Otherwise a drive that failed one read would look older than the others once the power goes
// between that and the next record.
TEST_CASE("superblocks: a drive that fails one read of its newest record keeps that record") {
    CoreArray array;
    REQUIRE(array.open());
    REQUIRE(array.core->create_volume("v", MiB));
    std::uint64_t bytes = MiB;
    for (std::uint32_t round = 0; round < 2 * kSuperblockSlots; ++round) {
        INFO(round);
        for (std::uint32_t i = 0; i < round; ++i) {  // a record each: the newest lies anywhere
            const auto grown = array.core->begin_resize("v", bytes += kBlockBytes, Loss::refused);
            REQUIRE(grown);
            REQUIRE(array.core->finish_resize(*grown, {}));
        }
        array.cut();
        bool failed = false;
        array.power.fails = [&](const Io& io) {
            if (io.device->path() != "qlc0") return false;
            const bool record = io.kind == IoKind::read && io.bytes > kBlockBytes &&
                                io.offset < 2 * array.options.band_bytes;
            if (record && !failed) return failed = true;
            return io.point == PersistencePoint::qlc_superblock_write;
        };
        REQUIRE_FALSE(array.open());
        CHECK(failed);
        array.power.fails = {};
        const Status opened = array.open();
        INFO((opened ? "" : opened.error().message));
        REQUIRE(opened);
    }
    array.cut();
}
