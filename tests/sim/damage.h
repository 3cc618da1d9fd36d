// Damage done to drives while the power is off, never more than what the array must survive: silent
// rot on up to two QLC drives, always the same ones, and the loss of what one TPS mirror holds.
#pragma once

#include <cstring>

#include "format/layout.h"
#include "sim_world.h"

namespace qlcshape::sim {

// Changes one byte in each of some blocks of the bands on the drive.
inline void rot_bands(Media& qlc, const ArrayLayout& layout, std::uint64_t blocks, Random& random) {
    const std::uint64_t first = layout.band_offset(BandId(0)) / kBlockBytes;
    const std::uint64_t last = qlc.bytes.size() / kBlockBytes;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        const std::uint64_t block = first + random.below(last - first);
        qlc.bytes.data()[block * kBlockBytes + random.below(kBlockBytes)] ^= std::byte{0x10};
    }
}

inline void lose_tps(Media& scm, const ArrayLayout& layout) {
    std::memset(scm.bytes.data() + layout.tps_offset, 0, layout.tps_bytes);
}

}  // namespace qlcshape::sim
