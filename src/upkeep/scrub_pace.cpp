// SPDX-License-Identifier: Apache-2.0
#include "upkeep/scrub_pace.h"

#include <algorithm>
#include <utility>

namespace qlcshape {

namespace {

double seconds(std::uint64_t ns) { return static_cast<double>(ns) / 1e9; }

}  // namespace

ScrubPace::ScrubPace(Scrubber& scrubber, const ArrayLayout& layout, std::uint32_t days,
                     std::uint64_t now_ns)
    : scrubber_(scrubber),
      bands_(layout.bands),
      pass_seconds_(days * 86400.0),
      pass_bytes_(static_cast<double>(layout.p.band_bytes) * layout.width() * layout.bands),
      ticked_ns_(now_ns),
      begin_(mark(now_ns)) {}

ScrubPace::Mark ScrubPace::mark(std::uint64_t now_ns) const {
    return {now_ns, scrubber_.position(), scrubber_.bytes_read(), scrubber_.strips_wrong(),
            scrubber_.strips_left_out()};
}

void ScrubPace::note_end(std::uint64_t now_ns) {
    if (asked_ != Pass::under_way || scrubber_.position() < until_) return;
    asked_ = Pass::ended;
    end_ = mark(now_ns);
}

void ScrubPace::start(std::uint64_t bytes_per_second, std::uint64_t now_ns) {
    const Locked lock(mutex_);
    note_end(now_ns);
    if (asked_ != Pass::under_way) {
        asked_ = Pass::under_way;
        ++passes_asked_;
        begin_ = mark(now_ns);
        until_ = begin_.position + bands_;
    }
    rate_ = bytes_per_second;
    scrubber_.go_on_until(until_, rate_ != 0);
}

bool ScrubPace::stop(std::uint64_t now_ns) {
    const Locked lock(mutex_);
    note_end(now_ns);
    if (asked_ != Pass::under_way) return false;
    asked_ = Pass::stopped;
    end_ = mark(now_ns);
    scrubber_.go_on_until(0, false);
    return true;
}

// Of at most a second, however long nobody called: what was not read in its time is not made up
// for. Nor is a rate taken for more than any drives can do.
void ScrubPace::tick(std::uint64_t now_ns) {
    constexpr double kMostPerSecond = 1e12;
    const Locked lock(mutex_);
    note_end(now_ns);
    const std::uint64_t before = std::exchange(ticked_ns_, now_ns);
    const double passed = now_ns > before ? std::min(seconds(now_ns - before), 1.0) : 0;
    double rate = pass_seconds_ > 0 ? pass_bytes_ / pass_seconds_ : 0;
    if (asked_ == Pass::under_way) rate = static_cast<double>(rate_);
    due_ += std::min(rate, kMostPerSecond) * passed;
    const auto bytes = static_cast<std::uint64_t>(due_);
    due_ -= static_cast<double>(bytes);
    if (bytes != 0) scrubber_.allow(bytes);
}

ScrubPace::View ScrubPace::look(std::uint64_t now_ns) {
    const Locked lock(mutex_);
    note_end(now_ns);
    const Mark now = mark(now_ns);
    const bool under_way = asked_ == Pass::under_way;
    const Mark& last = asked_ == Pass::ended || asked_ == Pass::stopped ? end_ : now;
    View v;
    v.asked = asked_;
    v.passes_asked = passes_asked_;
    v.on = under_way || pass_seconds_ > 0;
    v.strips_wrong = last.strips_wrong - begin_.strips_wrong;
    v.strips_left_out = last.strips_left_out - begin_.strips_left_out;
    const double elapsed = now.ns > begin_.ns ? seconds(now.ns - begin_.ns) : 0;
    const std::uint64_t passed = under_way ? now.position - begin_.position : now.position % bands_;
    const double share = std::min(1.0, static_cast<double>(passed) / static_cast<double>(bands_));
    v.percent = 100 * share;
    if (elapsed > 0) v.bytes_per_second = static_cast<double>(now.bytes - begin_.bytes) / elapsed;
    if (under_way)
        v.seconds_left = share > 0 ? elapsed / share * (1 - share) : 0;
    else
        v.seconds_left = (1 - share) * pass_seconds_;
    return v;
}

}  // namespace qlcshape
