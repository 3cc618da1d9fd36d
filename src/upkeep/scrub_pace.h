// SPDX-License-Identifier: Apache-2.0
// When the scrubber may read, and how much: a pass over all bands in `days` days, for ever; or,
// when somebody asks, one at once, at the rate that they give. The scrubber knows no time.
#pragma once

#include <cstdint>

#include "base/guarded.h"
#include "upkeep/scrubber.h"

namespace qlcshape {

class ScrubPace {
  public:
    // `days`: 0: only when asked.
    ScrubPace(Scrubber& scrubber, const ArrayLayout& layout, std::uint32_t days,
              std::uint64_t now_ns);

    // All calls: any thread.
    // A pass from where the scrub is, all the way round. One that is under way goes on, at this
    // rate. 0: as fast as it goes.
    void start(std::uint64_t bytes_per_second, std::uint64_t now_ns);
    // Ends a pass that was asked for. False: none is under way.
    bool stop(std::uint64_t now_ns);
    // To be called some times a second.
    void tick(std::uint64_t now_ns);

    // Of the pass that was asked for last.
    enum class Pass : std::uint8_t { none, under_way, ended, stopped };
    struct View {
        bool on = false;
        Pass asked = Pass::none;
        std::uint64_t passes_asked = 0;  // begun since the array was opened
        // Of that pass; of the schedule's, since the array was opened, while none was asked for.
        std::uint64_t strips_wrong = 0, strips_left_out = 0;
        double percent = 0;  // of the present pass
        double bytes_per_second = 0;
        double seconds_left = 0;  // 0: not known yet
    };
    View look(std::uint64_t now_ns);

  private:
    struct Mark {
        std::uint64_t ns = 0, position = 0, bytes = 0, strips_wrong = 0, strips_left_out = 0;
    };
    Mark mark(std::uint64_t now_ns) const;
    void note_end(std::uint64_t now_ns) QS_REQUIRES(mutex_);

    Scrubber& scrubber_;
    const std::uint64_t bands_;
    const double pass_seconds_;  // 0: none but those that are asked for
    const double pass_bytes_;
    Mutex mutex_;
    Pass asked_ QS_GUARDED_BY(mutex_) = Pass::none;
    std::uint64_t passes_asked_ QS_GUARDED_BY(mutex_) = 0;
    std::uint64_t until_ QS_GUARDED_BY(mutex_) = 0;
    std::uint64_t rate_ QS_GUARDED_BY(mutex_) = 0;
    std::uint64_t ticked_ns_ QS_GUARDED_BY(mutex_);
    double due_ QS_GUARDED_BY(mutex_) = 0;  // bytes that were not allowed yet: less than one
    Mark begin_ QS_GUARDED_BY(mutex_);      // of that pass, or of the opening
    Mark end_ QS_GUARDED_BY(mutex_);        // of that pass
};

}  // namespace qlcshape
