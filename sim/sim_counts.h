// SPDX-License-Identifier: Apache-2.0
// The classes of faults, and how often each was injected, detected and repaired.
#pragma once

#include <array>
#include <cstdint>

namespace qlcshape::sim {

enum class Fault : std::uint8_t {
    none,
    bit_rot,
    unreadable,  // a block gives EIO until it is written or discarded
    lost_write,
    misdirected_write,
    misdirected_read,
    read_error,
    write_error,
    flush_error,
    slow,
    stuck,
    gone,
    zone_read_only,
    zone_offline,
    bad_superblock,  // of one QLC drive, while the array is closed
    stale_member,    // a drive comes back as it was some openings ago
    older_member,    // drives come back as they were some moments ago
    count
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::count);

const char* to_string(Fault fault);

struct FaultCount {
    std::uint64_t injected = 0;  // damage: in blocks; others: transfers, drives or openings
    // Silent damage: the engine read it (and the oracle saw no harm come of it). Others: the engine
    // was told.
    std::uint64_t detected = 0;
    // Damaged blocks that were written anew or discarded since.
    std::uint64_t repaired = 0;
};

struct FaultCounts {
    std::array<FaultCount, kFaults> of{};
    std::uint64_t damaged = 0;  // blocks so far: the number of the newest that was
    FaultCount& operator[](Fault fault) { return of[static_cast<std::size_t>(fault)]; }
    const FaultCount& operator[](Fault fault) const { return of[static_cast<std::size_t>(fault)]; }
    void told(Fault fault) {
        ++(*this)[fault].injected;
        ++(*this)[fault].detected;
    }
};

}  // namespace qlcshape::sim
