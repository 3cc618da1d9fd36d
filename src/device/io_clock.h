// SPDX-License-Identifier: Apache-2.0
// How long a drive may take for a transfer, and the time by which that is measured. Any thread.
//
// The time goes on only while somebody looks at the clock, by a second a look at most: a process
// that was stopped, or a machine that slept, did not wait for its drives meanwhile.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace qlcshape {

class IoClock {
  public:
    IoClock(Clock& clock, std::uint64_t limit_ns)
        : clock_(clock), limit_ns_(limit_ns), seen_(clock.now_ns()) {}

    void look() {
        constexpr std::uint64_t kMostNs = 1'000'000'000;
        const std::uint64_t now = clock_.now_ns();
        std::uint64_t before = seen_.load(std::memory_order_relaxed);
        if (now > before && seen_.compare_exchange_strong(before, now))
            now_.fetch_add(std::min(now - before, kMostNs));
    }
    std::uint64_t now() const { return now_.load(std::memory_order_relaxed); }
    std::uint64_t limit_ns() const { return limit_ns_; }
    bool too_long_since(std::uint64_t begun) const { return now() > begun + limit_ns_; }

    // How often a drive was given up: what others have under way there need not take as long.
    void note_given_up() { given_up_.fetch_add(1, std::memory_order_release); }
    std::uint64_t given_up() const { return given_up_.load(std::memory_order_acquire); }

  private:
    Clock& clock_;
    const std::uint64_t limit_ns_;
    std::atomic<std::uint64_t> seen_;
    std::atomic<std::uint64_t> now_{0};
    std::atomic<std::uint64_t> given_up_{0};
};

}  // namespace qlcshape
