// SPDX-License-Identifier: Apache-2.0
// One block's entry in a segment header or a TPS record: 15 bytes.
//
//   bits 0..37    LBA
//   bits 38..39   kind
//   bits 40..87   version
//   bits 88..119  CRC-32C of the block; for a `tombstone` of a TPS record its length in blocks
//
// Kinds differ in their fourth value: a segment header has `tombstones` for a slot whose block is a
// packed list of tombstones (tombstone.h); a TPS record holds each tombstone as an entry.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "format/bits.h"
#include "format/layout.h"

namespace qlcshape {

// These 15 bytes. Segment headers and TPS records name the format of their entries, so that wider
// ones can come; where another number stands, nothing of the entries is read.
inline constexpr std::uint8_t kEntryFormat = 1;

enum class EntryKind : std::uint8_t {
    empty = 0,  // padding: the block is zeroes and belongs to no LBA
    data = 1,
    tombstones = 2,  // segment: a block of packed tombstones. TPS record: one tombstone, no block
    poisoned = 3,    // the newest version of this LBA was lost; reads fail until it is overwritten
};

struct Entry {
    EntryKind kind = EntryKind::empty;
    Lba lba;
    Version version;
    std::uint32_t crc = 0;
};

inline void store_entry(std::byte* to, const Entry& e) {
    const std::uint64_t low =
        e.lba.value | static_cast<std::uint64_t>(e.kind) << kLbaBits | e.version.value << 40;
    const std::uint64_t high = e.version.value >> 24 | std::uint64_t{e.crc} << 24;
    store<std::uint64_t>(to, low);
    store<std::uint32_t>(to + 8, static_cast<std::uint32_t>(high));
    store<std::uint16_t>(to + 12, static_cast<std::uint16_t>(high >> 32));
    store<std::uint8_t>(to + 14, static_cast<std::uint8_t>(high >> 48));
}

inline Entry load_entry(const std::byte* from) {
    const auto low = load<std::uint64_t>(from);
    const std::uint64_t high = load<std::uint32_t>(from + 8) |
                               std::uint64_t{load<std::uint16_t>(from + 12)} << 32 |
                               std::uint64_t{load<std::uint8_t>(from + 14)} << 48;
    Entry e;
    e.lba = Lba(low & ((std::uint64_t{1} << kLbaBits) - 1));
    e.kind = static_cast<EntryKind>(low >> kLbaBits & 3);
    e.version = Version(low >> 40 | (high & 0xffffff) << 24);
    e.crc = static_cast<std::uint32_t>(high >> 24);
    return e;
}

}  // namespace qlcshape
