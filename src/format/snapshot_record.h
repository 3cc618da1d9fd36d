// SPDX-License-Identifier: Apache-2.0
// A snapshot of the PMT: a point up to which the table on SCM is complete, so that recovery reads
// only what came after it. The table itself is not copied; this record marks where "after" begins.
// It has two places on every scm drive, written in turn: the newest complete one of the epoch
// counts. Byte layout: docs/disk_format.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/counters.h"
#include "base/types.h"
#include "base/uuid.h"
#include "format/layout.h"

namespace qlcshape {

// A band that was open when the snapshot began: its segments below `published` are in the table.
struct SnapshotBand {
    std::uint32_t band = 0;
    std::uint32_t published = 0;
    std::uint64_t sequence = 0;
};
static_assert(sizeof(SnapshotBand) == kSnapshotBandBytes);

struct SnapshotFixed {
    std::uint64_t magic;
    std::uint32_t crc;  // of the whole record with this field zero
    std::uint16_t format;
    std::uint16_t table_damaged;  // 1: a page of the table could not be trusted; rebuild all of it
    Uuid array;
    std::uint64_t epoch;
    std::uint64_t generation;
    std::uint64_t next_version;        // versions below were issued before the snapshot began
    std::uint64_t next_band_sequence;  // bands below were opened before it began
    std::uint64_t used_blocks;         // mapped blocks, approximately
    std::uint32_t bands;
    std::uint32_t unused[3];  // 0
    std::uint8_t reserved[40];
    std::uint64_t counters[kCounters];
};
static_assert(sizeof(SnapshotFixed) == kSnapshotFixedBytes);
static_assert(offsetof(SnapshotFixed, array) == 16);
static_assert(offsetof(SnapshotFixed, generation) == 40);
static_assert(offsetof(SnapshotFixed, bands) == 72);
static_assert(offsetof(SnapshotFixed, counters) == 128);

struct Snapshot {
    std::uint64_t epoch = 0;
    std::uint64_t generation = 0;
    std::uint64_t next_version = 0;
    std::uint64_t next_band_sequence = 0;
    std::uint64_t used_blocks = 0;
    bool table_damaged = false;
    LifetimeCounters counters{};  // when the record was written
    std::vector<SnapshotBand> open;
};

// Into layout.snapshot_bytes bytes. `snapshot.open` has at most layout.snapshot_bands() bands.
void encode_snapshot(const Snapshot& snapshot, const ArrayLayout& layout, const Uuid& array,
                     std::span<std::byte> record);

// Nothing if it is damaged, or another array's, or names what the layout doesn't have.
std::optional<Snapshot> decode_snapshot(std::span<const std::byte> record,
                                        const ArrayLayout& layout, const Uuid& array);

}  // namespace qlcshape
