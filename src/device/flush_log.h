// SPDX-License-Identifier: Apache-2.0
// The flushes of all threads on one drive. One that fails may also have dropped from the drive's
// cache what another thread wrote, whose own flush then succeeds: whoever relies on a flush checks
// here. Any thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/guarded.h"

namespace qlcshape {

class FlushLog {
  public:
    // More than can be in flight: later no flush needs memory.
    FlushLog() { in_flight_.reserve(1024); }

    // Returns the number of the flush that begins.
    std::uint64_t begin() {
        const Locked lock(mutex_);
        in_flight_.push_back(next_);
        return next_++;
    }
    void end(std::uint64_t number, bool failed) {
        const Locked lock(mutex_);
        std::erase(in_flight_, number);
        if (failed) ++failed_;
    }

    // The number that the next one will have.
    std::uint64_t next() const {
        const Locked lock(mutex_);
        return next_;
    }
    // Whether all before that number have ended, so that failed() includes them.
    bool ended_before(std::uint64_t number) const {
        const Locked lock(mutex_);
        return in_flight_.empty() || in_flight_.front() >= number;
    }
    // Of a drive that takes the place of another: who compares failed() with what it was sees no
    // change by that.
    void continue_from(const FlushLog& former) {
        const std::uint64_t failed = former.failed();
        const Locked lock(mutex_);
        failed_ += failed;
    }
    // How many failed since the drive was opened.
    std::uint64_t failed() const {
        const Locked lock(mutex_);
        return failed_;
    }

  private:
    mutable Mutex mutex_;
    std::vector<std::uint64_t> in_flight_ QS_GUARDED_BY(mutex_);  // in order
    std::uint64_t next_ QS_GUARDED_BY(mutex_) = 0;
    std::uint64_t failed_ QS_GUARDED_BY(mutex_) = 0;
};

// The flushes that are under way when one's own have succeeded: until they have ended nobody knows
// whether one of them failed before, and what it dropped. One thread.
class OtherFlushes {
  public:
    // For so many drives.
    explicit OtherFlushes(std::size_t drives) { waited_for_.reserve(drives); }

    void begin() { waited_for_.clear(); }
    void add(const FlushLog& log) { waited_for_.push_back({&log, log.next()}); }
    bool ended() const {
        return std::ranges::all_of(waited_for_,
                                   [](const auto& w) { return w.first->ended_before(w.second); });
    }

  private:
    std::vector<std::pair<const FlushLog*, std::uint64_t>> waited_for_;
};

}  // namespace qlcshape
