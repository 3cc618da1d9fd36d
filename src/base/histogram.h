// SPDX-License-Identifier: Apache-2.0
// Latencies: 16 buckets to each power of two, so a value is known within 4%. Any thread may add.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace qlcshape {

class Histogram {
  public:
    void add(std::uint64_t ns) {
        buckets_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
        std::uint64_t max = max_.load(std::memory_order_relaxed);
        while (ns > max && !max_.compare_exchange_weak(max, ns, std::memory_order_relaxed)) {
        }
    }
    std::uint64_t count() const {
        std::uint64_t n = 0;
        for (const auto& b : buckets_) n += b.load(std::memory_order_relaxed);
        return n;
    }
    std::uint64_t max_ns() const { return max_.load(std::memory_order_relaxed); }

    // The value below which `share` (0 to 1) of them lie.
    std::uint64_t quantile_ns(double share) const {
        const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count()));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < kBuckets; ++i) {
            seen += buckets_[i].load(std::memory_order_relaxed);
            if (seen > wanted) return middle_of(i);
        }
        return max_ns();
    }

  private:
    static constexpr std::size_t kBuckets = 16 + 16 * 60;
    static std::size_t bucket_of(std::uint64_t ns) {
        if (ns < 16) return ns;
        const auto power = static_cast<std::size_t>(std::bit_width(ns)) - 5;
        return 16 + power * 16 + ((ns >> power) & 15);
    }
    static std::uint64_t middle_of(std::size_t i) {
        if (i < 16) return i;
        const std::size_t power = (i - 16) / 16;
        return ((16 + (i - 16) % 16) << power) + ((std::uint64_t{1} << power) >> 1);
    }
    std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
    std::atomic<std::uint64_t> max_{0};
};

}  // namespace qlcshape
