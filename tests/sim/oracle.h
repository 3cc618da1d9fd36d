// What a volume may hold: for each sector the values that a read may return, given which writes
// were acknowledged before which others began. A value is the stamp of the write; 0 is zeroes.
//
// A write is allowed unless another one that began after it was acknowledged is acknowledged
// itself. After a crash what recovery shows is settled: it must never change again by itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qlcshape::sim {

struct Written {
    std::uint64_t stamp = 0;  // 0: a trim
    std::uint64_t begun = 0;
    std::uint64_t acked = UINT64_MAX;
    std::uint64_t first_sector = 0, sectors = 0;
    bool atomic = false;
};

class Oracle {
  public:
    explicit Oracle(std::uint64_t sectors) : sectors_(sectors) {
        ops_.push_back(Written{0, 0, 0, 0, sectors, false});
        for (auto& s : sectors_) s.push_back(0);
    }

    // Returns the operation's number.
    std::uint32_t begin(std::uint64_t stamp, std::uint64_t first_sector, std::uint64_t count,
                        bool atomic) {
        const auto id = static_cast<std::uint32_t>(ops_.size());
        ops_.push_back(Written{stamp, ++time_, UINT64_MAX, first_sector, count, atomic});
        for (std::uint64_t s = 0; s < count; ++s) sectors_[first_sector + s].push_back(id);
        return id;
    }
    void acked(std::uint32_t id) {
        Written& w = ops_[id];
        w.acked = ++time_;
        if (reads_ != 0) return;  // a read in flight may still see what this one replaces
        for (std::uint64_t s = 0; s < w.sectors; ++s) prune(sectors_[w.first_sector + s]);
    }
    void begin_read() { ++reads_; }
    void end_read() {
        if (--reads_ != 0) return;
    }

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
            text += std::to_string(ops_[id].stamp) + (ops_[id].acked == UINT64_MAX ? "? " : " ");
        }
        return text;
    }

    // Drops what is superseded; before the look after a crash.
    void prune_all() {
        for (auto& s : sectors_) prune(s);
    }

    // After a crash and a full read: `seen[s]` is the stamp of sector s, each allowed. Returns the
    // stamp of an atomic write that is there in part, or 0; then settles what was seen.
    std::uint64_t settle(const std::vector<std::uint64_t>& seen) {
        std::uint64_t torn = 0;
        for (const Written& w : ops_) {
            if (w.atomic && w.acked == UINT64_MAX && torn_in(w, seen))
                torn = w.stamp == 0 ? UINT64_MAX : w.stamp;
        }
        std::vector<Written> kept{Written{0, 0, 0, 0, sectors_.size(), false}};
        for (std::uint64_t s = 0; s < sectors_.size(); ++s) {
            const auto id = static_cast<std::uint32_t>(kept.size());
            kept.push_back(Written{seen[s], 0, 0, s, 1, false});
            sectors_[s] = {id};
        }
        ops_ = std::move(kept);
        return torn;
    }

  private:
    void prune(std::vector<std::uint32_t>& list) {
        std::uint64_t newest_begin = 0;
        for (const std::uint32_t id : list) {
            if (ops_[id].acked != UINT64_MAX && ops_[id].begun > newest_begin)
                newest_begin = ops_[id].begun;
        }
        std::erase_if(list, [&](std::uint32_t id) { return ops_[id].acked < newest_begin; });
    }
    bool torn_in(const Written& w, const std::vector<std::uint64_t>& seen) const {
        bool any = false, missing = false;
        for (std::uint64_t s = w.first_sector; s < w.first_sector + w.sectors; ++s) {
            if (seen[s] == w.stamp) {
                any = true;
                continue;
            }
            bool concurrent = false;
            for (const std::uint32_t id : sectors_[s]) {
                concurrent |= ops_[id].stamp == seen[s] && ops_[id].acked > w.begun;
            }
            missing |= !concurrent;
        }
        return any && missing;
    }

    std::vector<Written> ops_;
    std::vector<std::vector<std::uint32_t>> sectors_;
    std::uint64_t time_ = 0;
    std::uint32_t reads_ = 0;
};

}  // namespace qlcshape::sim
