// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_media.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ranges>
#include <set>
#include <utility>

#include "base/assert.h"

namespace qlcshape::sim {

const char* to_string(Fault fault) {
    static constexpr const char* kNames[kFaults] = {"none",
                                                    "bit_rot",
                                                    "unreadable",
                                                    "lost_write",
                                                    "misdirected_write",
                                                    "misdirected_read",
                                                    "read_error",
                                                    "write_error",
                                                    "flush_error",
                                                    "slow",
                                                    "stuck",
                                                    "gone",
                                                    "zone_read_only",
                                                    "zone_offline",
                                                    "bad_superblock",
                                                    "stale_member",
                                                    "older_member"};
    return kNames[static_cast<std::size_t>(fault)];
}

Media::Media(std::string name_, std::uint64_t size, bool volatile_cache, bool discard_clears_)
    : name(std::move(name_)),
      bytes(static_cast<std::byte*>(std::calloc(size, 1)), &std::free),
      discard_clears(discard_clears_) {
    QS_ASSERT(bytes != nullptr);
    geometry.capacity_bytes = size;
    geometry.volatile_cache = volatile_cache;
    geometry.atomic_write_bytes = 512;
}

int Media::read(std::uint64_t offset, std::byte* to, std::uint64_t n, FaultCounts& counts) {
    if (zoned() && zone(offset).offline) return EIO;
    int error = 0;
    for (auto it = damage.lower_bound(offset / kBlockBytes);
         it != damage.end() && it->first * kBlockBytes < offset + n; ++it) {
        if (it->second.fault == Fault::unreadable) error = EIO;
        if (!it->second.met) ++counts[it->second.fault].detected;
        it->second.met = true;
    }
    if (error != 0) return error;
    std::memcpy(to, bytes.get() + offset, n);
    for (const Cached& c : cache) {
        const std::uint64_t begin = std::max(offset, c.offset);
        const std::uint64_t end = std::min(offset + n, c.offset + c.bytes);
        if (begin >= end) continue;
        if (c.data.empty())
            std::memset(to + (begin - offset), 0, end - begin);
        else
            std::memcpy(to + (begin - offset), c.data.data() + (begin - c.offset), end - begin);
    }
    return 0;
}

std::vector<std::pair<std::uint64_t, Media::Damage>> Media::repair(std::uint64_t offset,
                                                                   std::uint64_t n,
                                                                   FaultCounts& counts) {
    std::vector<std::pair<std::uint64_t, Damage>> repaired;
    if (damage.empty()) return repaired;
    auto it = damage.lower_bound(div_up(offset, kBlockBytes));
    while (it != damage.end() && (it->first + 1) * kBlockBytes <= offset + n) {
        ++counts[it->second.fault].repaired;
        repaired.push_back(*it);
        it = damage.erase(it);
    }
    return repaired;
}

void Media::write(std::uint64_t offset, const std::byte* from, std::uint64_t n, std::uint64_t order,
                  FaultCounts& counts) {
    auto repairs = repair(offset, n, counts);
    if (geometry.volatile_cache) {
        write_unfinished(offset, from, n, order);
        cache.back().repairs = std::move(repairs);
    } else {
        std::memcpy(bytes.get() + offset, from, n);
    }
}

void Media::write_unfinished(std::uint64_t offset, const std::byte* from, std::uint64_t n,
                             std::uint64_t order) {
    Cached c{order, offset, n, take_memory(), {}};
    c.data.assign(from, from + n);
    cache.push_back(std::move(c));
}

void Media::discard(std::uint64_t offset, std::uint64_t n, std::uint64_t order,
                    FaultCounts& counts) {
    if (zoned()) {  // a reset is durable when it ends
        repair(offset, n, counts);
        std::memset(bytes.get() + offset, 0, n);
        return;
    }
    if (!discard_clears) return;
    auto repairs = repair(offset, n, counts);
    if (geometry.volatile_cache)
        cache.push_back(Cached{order, offset, n, {}, std::move(repairs)});
    else
        std::memset(bytes.get() + offset, 0, n);
}

std::vector<std::byte> Media::take_memory() {
    if (spare_.empty()) return {};
    std::vector<std::byte> memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
}

void Media::apply(const Cached& c) {
    if (c.data.empty())
        std::memset(bytes.get() + c.offset, 0, c.bytes);
    else
        std::memcpy(bytes.get() + c.offset, c.data.data(), c.bytes);
}

void Media::flushed(std::uint64_t order) {
    apply_where([&](const Cached& c) { return c.order < order; });
}

// With what it overlaps goes what that overlaps in turn and is older, or that would come to the
// media later, over it.
void Media::settle(std::uint64_t offset, std::uint64_t n) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges{{offset, offset + n}};
    std::set<std::uint64_t> chosen;
    for (const Cached& c : cache | std::views::reverse) {
        const std::uint64_t end = c.offset + c.bytes;
        if (std::ranges::none_of(
                ranges, [&](const auto& r) { return c.offset < r.second && r.first < end; }))
            continue;
        chosen.insert(c.order);
        ranges.emplace_back(c.offset, end);
    }
    apply_where([&](const Cached& c) { return chosen.contains(c.order); });
}

void Media::apply_where(const std::function<bool(const Cached&)>& choose) {
    std::erase_if(cache, [&](Cached& c) {
        if (!choose(c)) return false;
        apply(c);
        if (!c.data.empty()) spare_.push_back(std::move(c.data));
        return true;
    });
}

void Media::apply_torn(const Cached& c, Random& random) {
    const std::uint64_t unit = geometry.atomic_write_bytes;
    const std::uint64_t units = c.bytes / unit;
    // A prefix, or any of its units.
    const bool prefix = random.chance(1, 2);
    const std::uint64_t end = prefix ? random.below(units + 1) : units;
    std::uint64_t coins = 0;
    for (std::uint64_t i = 0; i < end; ++i) {
        if (!prefix) {
            if (i % 64 == 0) coins = random.next();
            if ((coins >> (i % 64) & 1) == 0) continue;
        }
        std::byte* to = bytes.get() + c.offset + i * unit;
        if (c.data.empty())
            std::memset(to, 0, unit);
        else
            std::memcpy(to, c.data.data() + i * unit, unit);
    }
}

void Media::lose_cache(Random& random) {
    if (zoned()) {
        lose_zoned(random);
    } else {
        for (const Cached& c : cache) {
            const std::uint64_t fate = random.below(3);
            if (fate == 1) apply(c);
            if (fate == 2) apply_torn(c, random);
            if (fate != 1) damage.insert(c.repairs.begin(), c.repairs.end());
        }
    }
    for (Cached& c : cache) {
        if (!c.data.empty()) spare_.push_back(std::move(c.data));
    }
    cache.clear();
}

// Of each zone a prefix is there, which may end in the middle of a write.
void Media::lose_zoned(Random& random) {
    std::sort(cache.begin(), cache.end(),
              [](const Cached& a, const Cached& b) { return a.offset < b.offset; });
    for (std::size_t first = 0; first < cache.size();) {
        std::size_t end = first;
        const std::uint64_t number = cache[first].offset / zone_bytes_;
        while (end < cache.size() && cache[end].offset / zone_bytes_ == number) ++end;
        const std::size_t kept = first + random.below(end - first + 1);
        for (std::size_t i = first; i < kept; ++i) apply(cache[i]);
        if (kept < end) {
            const Cached& c = cache[kept];
            const std::uint64_t n = random.below(c.bytes / kBlockBytes) * kBlockBytes;
            std::memcpy(bytes.get() + c.offset, c.data.data(), n);
            fail_zone(c.offset + n);
        }
        first = end;
    }
}

void Media::rot(std::uint64_t offset, Random& random) {
    const std::uint64_t at = offset + random.below(kBlockBytes);
    const auto bit = static_cast<std::byte>(1u << random.below(8));
    std::byte* seen = bytes.get() + at;
    for (Cached& c : cache) {
        if (at >= c.offset && at < c.offset + c.bytes && !c.data.empty())
            seen = c.data.data() + (at - c.offset);
    }
    *seen ^= bit;
}

void Media::note_damage(std::uint64_t offset, std::uint64_t n, Fault fault, FaultCounts& counts) {
    for (std::uint64_t at = offset; at < offset + n; at += kBlockBytes) {
        if (damage.try_emplace(at / kBlockBytes, Damage{fault, counts.damaged + 1}).second) {
            ++counts[fault].injected;
            ++counts.damaged;
        }
    }
}

// Any zone of these.
bool Media::offline(std::uint64_t offset, std::uint64_t n) const {
    if (!zoned() || n == 0) return false;
    const auto first = zones.begin() + static_cast<std::ptrdiff_t>(offset / zone_bytes_);
    const auto last = zones.begin() + static_cast<std::ptrdiff_t>((offset + n - 1) / zone_bytes_);
    return std::any_of(first, last + 1, [](const Zone& zone) { return zone.offline; });
}

bool Media::damaged(std::uint64_t offset, std::uint64_t n, std::uint64_t after) const {
    if (offline(offset, n)) return true;
    return std::any_of(damage.lower_bound(offset / kBlockBytes),
                       damage.lower_bound(div_up(offset + n, kBlockBytes)),
                       [&](const auto& d) { return d.second.number > after; });
}

bool Media::unreadable(std::uint64_t offset, std::uint64_t n) const {
    if (offline(offset, n)) return true;
    return std::any_of(damage.lower_bound(offset / kBlockBytes),
                       damage.lower_bound(div_up(offset + n, kBlockBytes)),
                       [](const auto& d) { return d.second.fault == Fault::unreadable; });
}

int Media::submit_to_zone(std::uint64_t offset, std::uint64_t n, std::string& broken) {
    Zone& z = zone(offset);
    if (z.offline || z.read_only || z.failing) return EIO;
    if (offset % zone_bytes_ != z.pointer) {
        broken = name + ": a write at " + std::to_string(offset) +
                 ", which is not its zone's write pointer";
        return EIO;
    }
    std::uint32_t written = 0;
    for (const Zone& other : zones) written += other.in_flight != 0 ? 1 : 0;
    if (z.in_flight == 0 && written >= kZonesWritten) {
        broken = name + ": too many zones are written at once";
        return EIO;
    }
    z.pointer += n;
    ++z.in_flight;
    return 0;
}

void Media::fail_zone(std::uint64_t offset) {
    Zone& z = zone(offset);
    z.pointer = z.failing ? std::min(z.pointer, offset % zone_bytes_) : offset % zone_bytes_;
    z.failing = true;
}

void Media::zones_at_rest() {
    for (Zone& z : zones) {
        z.in_flight = 0;
        z.failing = false;
    }
}

int Media::reset_zones(std::uint64_t offset, std::uint64_t n) {
    for (std::uint64_t at = offset; at < offset + n; at += zone_bytes_) {
        Zone& z = zone(at);
        if (z.offline || z.read_only) return EIO;
        z.pointer = 0;
        z.failing = false;
    }
    return 0;
}

}  // namespace qlcshape::sim
