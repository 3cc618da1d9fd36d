// SPDX-License-Identifier: Apache-2.0
// Latencies in nanoseconds, in buckets within 2% of the true value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "qlcshape/stats.h"

namespace qlcshape::tools {

class Histogram {
  public:
    void add(std::uint64_t ns) {
        ++buckets_[bucket_of(ns)];
        ++count_;
        max_ = std::max(max_, ns);
    }

    LatencySummary summary() const {
        return {micros(0.5), micros(0.99), micros(0.999), static_cast<double>(max_) / 1e3, count_};
    }

  private:
    static constexpr unsigned kSubBits = 5;  // 32 buckets for each power of two

    static std::size_t bucket_of(std::uint64_t ns) {
        const auto width = static_cast<unsigned>(std::bit_width(ns));
        if (width <= kSubBits + 1) return ns;
        const unsigned shift = width - (kSubBits + 1);
        return (std::size_t{shift} << kSubBits) + (ns >> shift);
    }
    static double middle_of(std::size_t bucket) {
        if (bucket < (2u << kSubBits)) return static_cast<double>(bucket);
        const std::size_t shift = (bucket >> kSubBits) - 1;
        const std::size_t top = bucket - (shift << kSubBits);
        return (static_cast<double>(top) + 0.5) * static_cast<double>(std::uint64_t{1} << shift);
    }
    double micros(double share) const {
        const auto rank = static_cast<std::uint64_t>(share * static_cast<double>(count_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            seen += buckets_[i];
            if (seen > rank) return std::min(middle_of(i), static_cast<double>(max_)) / 1e3;
        }
        return static_cast<double>(max_) / 1e3;
    }

    std::array<std::uint64_t, std::size_t{64} << kSubBits> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace qlcshape::tools
