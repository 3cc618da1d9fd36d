// SPDX-License-Identifier: Apache-2.0
// What recovery commits anew: as much as there is, in as many segments as it takes.
#include "recovery/replay.h"

#include "base/crc32c.h"
#include "shard_rig.h"

using namespace qlcshape;

TEST_CASE("replay: more trims than a segment holds, and blocks, take several") {
    ShardRig rig;
    Counters counters;
    BandKeeper keeper(rig.array, *rig.bands, *rig.gate,
                      std::vector<std::uint64_t>(rig.array.layout.band_table_pages), rig.queue,
                      counters);
    rig.gate->set_recovering(true);
    const std::uint32_t slots = rig.array.layout.slots_per_segment;
    {
        Replay replay(rig.array, *rig.bands, keeper, rig.queue, counters);
        const std::vector<std::byte> block(kBlockBytes, std::byte{7});
        for (std::uint32_t i = 0; i < slots + 1; ++i) {
            REQUIRE(replay.append(
                Entry{EntryKind::data, Lba(i), Version(i + 1), crc32c({block.data(), kBlockBytes})},
                block.data()));
        }
        const std::uint64_t trims = std::uint64_t{slots} * kTombstonesPerBlock;
        for (std::uint64_t i = 0; i < trims; ++i)
            REQUIRE(replay.append(Tombstone{Lba(i), 1, Version(1000 + i)}));
        REQUIRE(replay.finish());
        CHECK(replay.blocks() == slots + 1);
    }
    // A segment of blocks; one that begins with the last block; and a block of trims that found no
    // room there.
    const BandRecord band = rig.bands->record_of(rig.bands->user_frontier().band);
    CHECK(band.segments == 3);
    CHECK(band.tombstones == slots);
}
