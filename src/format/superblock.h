// SPDX-License-Identifier: Apache-2.0
// The superblock: what an array is, who its members are, which volumes it has. A record of it, with
// the device's own identity, is appended to the reserved units of every device; the newest counts.
// Byte layout and the rules of generations: docs/disk_format.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/error.h"
#include "base/types.h"
#include "base/uuid.h"
#include "format/layout.h"

namespace qlcshape {

inline constexpr std::uint32_t kMaxMembers = 128;
inline constexpr std::uint32_t kMaxVolumes = 128;
inline constexpr std::uint32_t kMaxExtents = 5375;
inline constexpr std::uint32_t kNameBytes = 64;  // zero-terminated, so 63 characters

enum class DeviceRole : std::uint8_t { qlc = 1, scm = 2, spare = 3 };
const char* to_string(DeviceRole role);

enum class ArrayState : std::uint8_t {
    clean = 1,  // closed cleanly: PMT, band table and counters are complete
    open = 2,   // in use, or lost power while in use: recover
};

// Whether a member takes part in what is written.
enum class MemberState : std::uint8_t {
    in = 1,
    out = 2,  // a QLC drive that missed what was written since `in_sync`
};

// Orders what drives record about the set of members: the epoch of an opening, and the generation
// of a record. The default where it says nothing.
struct MembershipNumber {
    std::uint64_t opening = 1;
    std::uint64_t counter = 0;
    bool operator==(const MembershipNumber&) const = default;
};

// A field with a default value has no other value yet (make_member() sets id and slots): an array
// with another one is refused.
struct MemberRecord {
    // An operator said so. Of one that was removed nothing is missed: its place is vacant.
    static constexpr std::uint8_t kFailed = 1, kRemoved = 2;
    Uuid uuid;
    MembershipNumber in_sync;  // of one that is out: the newest that it had for sure
    std::uint64_t capacity_bytes = 0;
    std::uint64_t slot_stride = 0;        // of a QLC drive: from one column to the next
    std::uint64_t slot_usable_bytes = 0;  // in each
    std::uint64_t erase_unit_bytes = 0;
    std::uint32_t iu_bytes = 0;
    std::uint32_t block_bytes = 0;
    std::uint32_t returns = 0;  // how often it was away
    std::uint8_t id = 0;        // among all members
    DeviceRole role = DeviceRole::qlc;
    MemberState state = MemberState::in;
    std::uint8_t host = 0;  // failure domains; 0: none is named
    std::uint8_t enclosure = 0;
    std::uint8_t kept_out = 0;  // of one that is out: it stays so, kFailed or kRemoved
    std::uint16_t index = 0;    // among those of its role; for qlc the drive number of the geometry
    std::uint8_t drains = 0;    // 1: of a QLC drive: its columns are to move to other drives
    std::uint8_t reserved_2[3] = {};
    std::uint64_t left_at = 0;   // of one that is out: the newest generation on any drive then
    std::uint64_t left_key = 0;  // of one that is out: of the epoch of `in_sync`
    std::uint8_t reserved[24] = {};
};
static_assert(sizeof(MemberRecord) == 128);
static_assert(offsetof(MemberRecord, left_at) == 88);
static_assert(offsetof(MemberRecord, capacity_bytes) == 32);
static_assert(offsetof(MemberRecord, iu_bytes) == 64);
static_assert(offsetof(MemberRecord, id) == 76);
static_assert(offsetof(MemberRecord, index) == 82);

// The member `index` of its role, with what follows from that. The rest is the drive's.
MemberRecord make_member(const ArrayParameters& parameters, DeviceRole role, std::uint16_t index);

// A deleted volume keeps its extents until they are trimmed. Its name is free.
inline constexpr std::uint32_t kVolumeDeleted = 2;

struct VolumeRecord {
    Uuid uuid;
    char name[kNameBytes] = {};
    std::uint64_t bytes = 0;
    std::uint32_t first_extent = 0;
    std::uint32_t extents = 0;
    std::uint32_t state = 0;  // 1: usable; kVolumeDeleted
    std::uint8_t reserved[28] = {};
};
static_assert(sizeof(VolumeRecord) == 128);

// A run of PMT pages, and with them of the array's LBAs, that belongs to a volume.
struct VolumeExtent {
    std::uint64_t first_page = 0;
    std::uint64_t pages = 0;
};
static_assert(sizeof(VolumeExtent) == 16);

struct Superblock {
    Uuid array;
    std::string name;
    ArrayParameters parameters;

    std::uint64_t generation = 0;           // of this record; rises each time one is written
    std::uint64_t complete_generation = 0;  // newest generation known durable on every member
    std::uint64_t epoch = 0;                // rises with every open for writing
    std::uint64_t epoch_key = 0;
    std::uint32_t shards = 1;  // of this epoch
    ArrayState state = ArrayState::clean;
    std::uint64_t next_version = 1;  // versions below are used up (exact after a clean close)
    std::uint64_t next_band_sequence = 1;
    // As of a clean close, or of the opening if that did not follow one. Snapshots have newer ones.
    LifetimeCounters counters{};

    std::vector<MemberRecord> members;
    std::vector<VolumeRecord> volumes;
    std::vector<VolumeExtent> extents;
};

// Null: it is no member.
const MemberRecord* find_member(const Superblock& superblock, const Uuid& device);

// Encodes for the member `device` into layout.superblock_record_bytes bytes.
void encode_superblock(const Superblock& superblock, const Uuid& device,
                       std::span<std::byte> record);

// Only the first block of a record: enough to find the newest.
struct SuperblockPeek {
    Uuid array;
    Uuid device;
    std::uint64_t generation = 0;
    std::uint64_t record_bytes = 0;
    std::uint64_t unit_bytes = 0;  // of this device's superblock units
    std::uint64_t epoch = 0;
    std::uint64_t epoch_key = 0;
};
// Of a record of another format nothing is read: `unsupported`.
Result<SuperblockPeek> peek_superblock(std::span<const std::byte> first_block);

// Whether these bytes carry the engine's magic at all, damaged or not.
bool looks_like_superblock(std::span<const std::byte> first_block);

// Decodes a whole record and checks all of it; `device` gets the identity of the device it is on.
// The error says what is wrong, without the device's name.
Result<Superblock> decode_superblock(std::span<const std::byte> record, Uuid* device);

}  // namespace qlcshape
