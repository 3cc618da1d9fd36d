// SPDX-License-Identifier: Apache-2.0
// What a volume may hold: for each sector the values that a read may return, given which writes
// were acknowledged before which others began. A value is the stamp of the write; 0 is zeroes.
//
// A write is allowed unless another one that began after it had ended is acknowledged itself. One
// that ended in an error may be there or not, like one that is in flight. After a crash what
// recovery shows is settled: it must never change again by itself. What damage beyond redundancy
// took may be an error, until it is written again: never zeroes, and never an older value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qlcshape::sim {

constexpr std::uint64_t kLost = UINT64_MAX;  // in place of a stamp: a media error

struct Written {
    std::uint64_t stamp = 0;  // 0: a trim, kLost: damage
    std::uint64_t begun = 0;
    std::uint64_t ended = UINT64_MAX;
    std::uint64_t first_sector = 0, sectors = 0;
    bool atomic = false;
    bool acked = false;
};

class Oracle {
  public:
    explicit Oracle(std::uint64_t sectors) : sectors_(sectors) {
        ops_.push_back(Written{0, 0, 0, 0, sectors, false, true});
        for (auto& s : sectors_) s.push_back(0);
    }

    // Returns the operation's number.
    std::uint32_t begin(std::uint64_t stamp, std::uint64_t first_sector, std::uint64_t count,
                        bool atomic) {
        const auto id = static_cast<std::uint32_t>(ops_.size());
        ops_.push_back(Written{stamp, ++time_, UINT64_MAX, first_sector, count, atomic, false});
        for (std::uint64_t s = 0; s < count; ++s) sectors_[first_sector + s].push_back(id);
        return id;
    }
    void acked(std::uint32_t id) {
        Written& w = ops_[id];
        w.ended = ++time_;
        w.acked = true;
        if (reads_ != 0) return;  // a read in flight may still see what this one replaces
        for (std::uint64_t s = 0; s < w.sectors; ++s) prune(sectors_[w.first_sector + s]);
    }
    void failed(std::uint32_t id) { ops_[id].ended = ++time_; }
    // Of what is closed or crashed: the newest of these sectors may be lost.
    void lose(std::uint64_t first_sector, std::uint64_t count) {
        failed(begin(kLost, first_sector, count, false));
    }
    // Whether a media error excuses a read of these.
    bool may_be_lost(std::uint64_t first_sector, std::uint64_t count) const {
        for (std::uint64_t s = first_sector; s < first_sector + count; ++s) {
            if (allowed(s, kLost)) return true;
        }
        return false;
    }
    // New sectors are zeroes.
    void resize(std::uint64_t sectors) {
        const std::uint64_t before = sectors_.size();
        sectors_.resize(sectors);
        if (sectors > before) acked(begin(0, before, sectors - before, false));
    }
    void begin_read() { ++reads_; }
    void end_read() { --reads_; }

    // Whether a read, or the first look after a crash, may show `stamp`. With reads in flight
    // nothing is pruned, so all that a read may have met is still listed.
    bool allowed(std::uint64_t sector, std::uint64_t stamp) const {
        for (const std::uint32_t id : sectors_[sector]) {
            if (ops_[id].stamp == stamp) return true;
        }
        return false;
    }
    std::string expected(std::uint64_t sector) const {
        std::string text;
        for (const std::uint32_t id : sectors_[sector]) {
            text += ops_[id].stamp == kLost ? "an error" : std::to_string(ops_[id].stamp);
            text += ops_[id].acked ? " " : "? ";
        }
        return text;
    }

    // Drops what is superseded; before the look after a crash. No read is in flight any more.
    void prune_all() {
        reads_ = 0;
        for (auto& s : sectors_) prune(s);
    }

    // After a crash and a full read: `seen[s]` is the stamp of sector s, each allowed. Returns the
    // stamp of an atomic write that is there in part (UINT64_MAX: of zeroes), or 0; then settles
    // what was seen. But not whether a sector is lost: of two copies, GC's and its source, each
    // may be the one that a new table leads to.
    std::uint64_t settle(const std::vector<std::uint64_t>& seen) {
        std::uint64_t found = interleaved(seen);
        for (std::uint32_t id = 0; id < ops_.size(); ++id) {
            if (ops_[id].atomic && !ops_[id].acked && torn(id, seen))
                found = ops_[id].stamp == 0 ? UINT64_MAX : ops_[id].stamp;
        }
        std::vector<Written> kept;
        bool extend = false;  // the last of those
        for (std::uint64_t s = 0; s < sectors_.size(); ++s) {
            if (allowed(s, kLost)) {
                std::erase_if(sectors_[s], [&](std::uint32_t id) {
                    const std::uint64_t stamp = ops_[id].stamp;
                    return seen[s] != kLost && stamp != kLost && stamp != seen[s];
                });
                for (std::uint32_t& id : sectors_[s]) {
                    kept.push_back(Written{ops_[id].stamp, 0, 0, s, 1, false, true});
                    id = static_cast<std::uint32_t>(kept.size() - 1);
                }
                extend = false;
                continue;
            }
            if (!extend || seen[s] != seen[s - 1])
                kept.push_back(Written{seen[s], 0, 0, s, 0, false, true});
            ++kept.back().sectors;
            extend = true;
            sectors_[s].resize(1);
            sectors_[s][0] = static_cast<std::uint32_t>(kept.size() - 1);
        }
        ops_ = std::move(kept);
        return found;
    }

  private:
    void prune(std::vector<std::uint32_t>& list) {
        if (list.size() == 1) return;
        std::uint64_t newest_begin = 0;
        for (const std::uint32_t id : list) {
            if (ops_[id].acked && ops_[id].begun > newest_begin) newest_begin = ops_[id].begun;
        }
        std::erase_if(list, [&](std::uint32_t id) { return ops_[id].ended < newest_begin; });
    }
    // Some of what is seen is there only by this write, and some only without it.
    bool torn(std::uint32_t number, const std::vector<std::uint64_t>& seen) const {
        const Written& w = ops_[number];
        bool by_it = false, without = false;
        const std::uint64_t end = std::min(w.first_sector + w.sectors, sectors_.size());
        for (std::uint64_t s = w.first_sector; s < end; ++s) {
            bool other = false, later = false;
            if (seen[s] == kLost) continue;
            for (const std::uint32_t id : sectors_[s]) {
                if (id == number || ops_[id].stamp != seen[s]) continue;
                other = true;
                later |= ops_[id].ended > w.begun;
            }
            by_it |= seen[s] == w.stamp && !other;
            without |= seen[s] != w.stamp && !later;
        }
        return by_it && without;
    }
    // Of two atomic writes each hides the other somewhere: neither can have been the later one.
    // Zeroes don't tell whose they are.
    std::uint64_t interleaved(const std::vector<std::uint64_t>& seen) const {
        std::set<std::pair<std::uint64_t, std::uint64_t>> hidden;  // the one seen, the other
        for (std::uint64_t s = 0; s < sectors_.size(); ++s) {
            const auto& ids = sectors_[s];
            const auto shown = std::ranges::find_if(
                ids, [&](std::uint32_t id) { return ops_[id].stamp == seen[s]; });
            if (seen[s] == 0 || seen[s] == kLost || shown == ids.end() || !ops_[*shown].atomic)
                continue;
            for (const std::uint32_t id : ids) {
                if (id == *shown || !ops_[id].atomic) continue;
                if (hidden.contains({ops_[id].stamp, seen[s]})) return seen[s];
                hidden.insert({seen[s], ops_[id].stamp});
            }
        }
        return 0;
    }

    std::vector<Written> ops_;
    std::vector<std::vector<std::uint32_t>> sectors_;
    std::uint64_t time_ = 0;
    std::uint32_t reads_ = 0;
};

}  // namespace qlcshape::sim
