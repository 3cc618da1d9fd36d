// SPDX-License-Identifier: Apache-2.0
#include "upkeep/scrub_pace.h"

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
      since_(mark(now_ns)) {}

ScrubPace::Mark ScrubPace::mark(std::uint64_t now_ns) const {
    return {now_ns, scrubber_.position(), scrubber_.bytes_read(), scrubber_.strips_wrong()};
}

void ScrubPace::start(std::uint64_t bytes_per_second, std::uint64_t now_ns) {
    const Locked lock(mutex_);
    if (!asked()) {
        since_ = mark(now_ns);
        until_ = since_.position + bands_;
    }
    rate_ = bytes_per_second;
    scrubber_.go_on_until(until_, rate_ != 0);
}

void ScrubPace::stop(std::uint64_t now_ns) {
    const Locked lock(mutex_);
    if (!asked()) return;
    until_ = 0;
    scrubber_.go_on_until(0, false);
    since_ = mark(now_ns);
}

void ScrubPace::tick(std::uint64_t now_ns) {
    const Locked lock(mutex_);
    const double passed = seconds(now_ns - std::exchange(ticked_ns_, now_ns));
    double rate = pass_seconds_ > 0 ? pass_bytes_ / pass_seconds_ : 0;
    if (asked()) rate = static_cast<double>(rate_);
    // Of a small array that is less than a byte: the rest is lost, and its passes take longer.
    scrubber_.allow(static_cast<std::uint64_t>(rate * passed));
}

ScrubPace::View ScrubPace::view(std::uint64_t now_ns) const {
    const Locked lock(mutex_);
    View v;
    v.asked = asked();
    v.on = v.asked || pass_seconds_ > 0;
    const std::uint64_t position = scrubber_.position();
    const double elapsed = seconds(now_ns - since_.ns);
    const std::uint64_t passed = v.asked ? position - since_.position : position % bands_;
    const double share = static_cast<double>(passed) / static_cast<double>(bands_);
    v.percent = 100 * share;
    if (elapsed > 0)
        v.bytes_per_second = static_cast<double>(scrubber_.bytes_read() - since_.bytes) / elapsed;
    if (v.asked)
        v.seconds_left = share > 0 ? elapsed / share * (1 - share) : 0;
    else
        v.seconds_left = (1 - share) * pass_seconds_;
    v.strips_wrong = scrubber_.strips_wrong() - since_.strips_wrong;
    return v;
}

}  // namespace qlcshape
