// SPDX-License-Identifier: Apache-2.0
// What a simulated drive holds; outlives the Device objects of one opening. Writes that were not
// flushed lie in `cache` apart from the media, and at a power cut each is kept, lost, or torn at
// the drive's atomic unit, on its own. A zoned drive keeps a prefix of each zone, and enforces the
// rules of zones itself: only at the write pointer, few zones at once, reset as a whole.
//
// Damage is noted block by block, so that it is known what was met by a read and what was
// overwritten since.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "device/device.h"
#include "sim/sim_counts.h"

namespace qlcshape::sim {

struct Media {
    static constexpr std::uint32_t kZonesWritten = 8;  // at once

    struct Damage {
        Fault fault = Fault::bit_rot;
        std::uint64_t number = 0;  // in the order in which blocks were damaged, of all drives
        bool met = false;
    };
    struct Cached {
        std::uint64_t order = 0;
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
        std::vector<std::byte> data;  // empty: a discard
        // What it repairs, by block: damaged again if the power goes first.
        std::vector<std::pair<std::uint64_t, Damage>> repairs;
    };
    struct Zone {
        std::uint64_t pointer = 0;  // writes submitted up to here
        std::uint32_t in_flight = 0;
        bool failing = false;    // a write in it failed
        bool read_only = false;  // for good
        bool offline = false;    // for good
    };

    Media(std::string name_, std::uint64_t bytes, bool volatile_cache, bool discard_clears_);

    // As a read sees it. An errno, or 0.
    int read(std::uint64_t offset, std::byte* to, std::uint64_t bytes, FaultCounts& counts);
    void write(std::uint64_t offset, const std::byte* from, std::uint64_t bytes,
               std::uint64_t order, FaultCounts& counts);
    void discard(std::uint64_t offset, std::uint64_t bytes, std::uint64_t order,
                 FaultCounts& counts);
    // Into the cache even where the drive has none: a write that the power cut off.
    void write_unfinished(std::uint64_t offset, const std::byte* from, std::uint64_t bytes,
                          std::uint64_t order);
    // A flush that was submitted at `order` has ended.
    void flushed(std::uint64_t order);
    // What the cache holds of that range is on media from now on.
    void settle(std::uint64_t offset, std::uint64_t bytes);
    void lose_cache(Random& random);

    // Flips a bit of what a read would see there.
    void rot(std::uint64_t offset, Random& random);
    void note_damage(std::uint64_t offset, std::uint64_t bytes, Fault fault, FaultCounts& counts);
    // After the block of that number; 0: ever.
    bool damaged(std::uint64_t offset, std::uint64_t bytes, std::uint64_t after = 0) const;
    bool unreadable(std::uint64_t offset, std::uint64_t bytes) const;
    bool offline(std::uint64_t offset, std::uint64_t bytes) const;

    // --- zones ---
    void make_zoned(std::uint64_t zone_bytes) {
        zones.resize(capacity() / zone_bytes), zone_bytes_ = zone_bytes;
    }
    bool zoned() const { return !zones.empty(); }
    Zone& zone(std::uint64_t offset) { return zones[offset / zone_bytes_]; }
    // Takes a write that is submitted: an errno, or 0. What breaks a rule is named in `broken`.
    int submit_to_zone(std::uint64_t offset, std::uint64_t bytes, std::string& broken);
    int reset_zones(std::uint64_t offset, std::uint64_t bytes);
    // A write there failed: its zone takes no more until it is reset, or the power was gone.
    void fail_zone(std::uint64_t offset);
    // Nothing is in flight any more: each zone's pointer tells where it goes on.
    void zones_at_rest();

    std::uint64_t capacity() const { return geometry.capacity_bytes; }

    std::string name;
    Geometry geometry;
    std::unique_ptr<std::byte, void (*)(void*)> bytes;  // on media
    std::vector<Cached> cache;                          // in the order of `order`
    std::vector<Zone> zones;
    std::map<std::uint64_t, Damage> damage;  // by block
    bool discard_clears = true;
    std::uint32_t index = 0;  // among all drives
    bool qlc = false;
    bool weak = false;  // one of those that may lose bytes
    bool gone = false;
    bool refuses_writes = false;  // it can be read
    bool silent = false;          // it did not answer, for a while at least
    bool writes() const { return !gone && !refuses_writes && !silent; }

  private:
    std::vector<std::byte> take_memory();
    void apply(const Cached& cached);
    void apply_where(const std::function<bool(const Cached&)>& choose);
    void apply_torn(const Cached& cached, Random& random);
    void lose_zoned(Random& random);
    std::vector<std::pair<std::uint64_t, Damage>> repair(std::uint64_t offset, std::uint64_t bytes,
                                                         FaultCounts& counts);

    std::uint64_t zone_bytes_ = 0;
    std::vector<std::vector<std::byte>> spare_;
};

}  // namespace qlcshape::sim
