// SPDX-License-Identifier: Apache-2.0
// Whether a drive refuses writes: not after one that failed, which is done again elsewhere, but
// after three in a row, or more than one in 64 for a while. Any thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace qlcshape {

class Refusals {
  public:
    void note_failure() {
        change([](std::uint32_t n) { return std::min(n + kFailure, kMost); });
    }
    void note_success() {
        if (score_.load(std::memory_order_relaxed) != 0)
            change([](std::uint32_t n) { return n == 0 ? 0 : n - 1; });
    }
    bool any() const { return score_.load(std::memory_order_relaxed) != 0 || too_many(); }
    // For good, whatever succeeds later.
    void enough() { enough_.store(true, std::memory_order_relaxed); }
    bool too_many() const {
        return enough_.load(std::memory_order_relaxed) ||
               score_.load(std::memory_order_relaxed) > 2 * kFailure;
    }

  private:
    static constexpr std::uint32_t kFailure = 64, kMost = 1024;  // in successes that make up for it
    void change(auto to) {
        std::uint32_t now = score_.load(std::memory_order_relaxed);
        while (!score_.compare_exchange_weak(now, to(now), std::memory_order_relaxed)) {
        }
    }
    std::atomic<std::uint32_t> score_{0};
    std::atomic<bool> enough_{false};
};

}  // namespace qlcshape
