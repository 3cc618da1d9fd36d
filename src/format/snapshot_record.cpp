// SPDX-License-Identifier: Apache-2.0
#include "format/snapshot_record.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/crc32c.h"
#include "format/format_version.h"

namespace qlcshape {

namespace {

constexpr std::uint64_t kSnapshotMagic = 0x31504e5345504853;  // "SHPESNP1"

std::uint32_t record_crc(std::span<const std::byte> record) {
    SnapshotFixed fixed;
    std::memcpy(&fixed, record.data(), sizeof(fixed));
    fixed.crc = 0;
    const std::uint32_t crc = crc32c({reinterpret_cast<const std::byte*>(&fixed), sizeof(fixed)});
    return crc32c_continue(crc, record.subspan(sizeof(fixed)));
}

}  // namespace

void encode_snapshot(const Snapshot& snapshot, const ArrayLayout& layout, const Uuid& array,
                     std::span<std::byte> record) {
    QS_ASSERT(record.size() == layout.snapshot_bytes);
    QS_ASSERT(snapshot.open.size() <= layout.snapshot_bands());
    std::ranges::fill(record, std::byte{0});
    SnapshotFixed f{};
    f.magic = kSnapshotMagic;
    f.format = kFormatVersion;
    f.table_damaged = snapshot.table_damaged ? 1 : 0;
    f.array = array;
    f.epoch = snapshot.epoch;
    f.generation = snapshot.generation;
    f.next_version = snapshot.next_version;
    f.next_band_sequence = snapshot.next_band_sequence;
    std::ranges::copy(snapshot.counters, f.counters);
    f.used_blocks = snapshot.used_blocks;
    f.bands = static_cast<std::uint32_t>(snapshot.open.size());
    std::memcpy(record.data(), &f, sizeof(f));
    if (f.bands != 0) {
        std::memcpy(record.data() + sizeof(f), snapshot.open.data(),
                    f.bands * sizeof(SnapshotBand));
    }
    f.crc = record_crc(record);
    std::memcpy(record.data(), &f, sizeof(f));
}

std::optional<Snapshot> decode_snapshot(std::span<const std::byte> record,
                                        const ArrayLayout& layout, const Uuid& array) {
    QS_ASSERT(record.size() == layout.snapshot_bytes);
    SnapshotFixed f;
    std::memcpy(&f, record.data(), sizeof(f));
    if (f.magic != kSnapshotMagic || f.format != kFormatVersion || f.array != array ||
        f.crc != record_crc(record) || f.unused[0] != 0 || f.unused[1] != 0 || f.unused[2] != 0 ||
        f.bands > layout.snapshot_bands()) {
        return std::nullopt;
    }
    Snapshot s{f.epoch,
               f.generation,
               f.next_version,
               f.next_band_sequence,
               f.used_blocks,
               f.table_damaged != 0,
               {},
               {}};
    std::ranges::copy(f.counters, s.counters.begin());
    s.open.resize(f.bands);
    if (f.bands != 0) {
        std::memcpy(s.open.data(), record.data() + sizeof(f), f.bands * sizeof(SnapshotBand));
    }
    for (const SnapshotBand& b : s.open) {
        if (b.band >= layout.bands || b.published > layout.segments_per_band) return std::nullopt;
    }
    return s;
}

}  // namespace qlcshape
