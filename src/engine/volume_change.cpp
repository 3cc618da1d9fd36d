// SPDX-License-Identifier: Apache-2.0
#include "engine/volume_change.h"

#include <algorithm>

namespace qlcshape {

namespace {

// Trimmed by one request: who wants to stop waits for no more than that.
constexpr std::uint64_t kTrimBytes = 16 * GiB;

}  // namespace

VolumeChange::VolumeChange(Core& core, const Core::Deletion& deletion)
    : core_(core),
      drained_([refused = deletion.refused] { return refused == nullptr || refused->idle(); }),
      finish_([this](const Status& trimmed) {
          return trimmed ? core_.forget_volume(trimming_->uuid) : trimmed;
      }),
      trimming_(deletion.trimming),
      at_(0),
      end_(trimming_->bytes()) {}

VolumeChange::VolumeChange(Core& core, const Core::Resize& resize)
    : core_(core),
      drained_([volume = resize.volume] { return volume->drained(); }),
      finish_(
          [this, resize](const Status& trimmed) { return core_.finish_resize(resize, trimmed); }),
      trimming_(resize.trimming),
      at_(resize.bytes),
      end_(resize.from) {}

bool VolumeChange::step() {
    if (over_) return true;
    if (in_flight() || !drained_()) return false;
    if (trimmed_ && at_ < end_) {
        trim_next();
        return false;
    }
    if (!trimming_->idle()) return false;  // the last trim was answered and is about to leave
    outcome_ = finish_(trimmed_);
    over_ = true;
    return true;
}

// Through a volume of its own (`trimming_`), with the blocks as they were: requests to what is
// trimmed are refused by the other. pending_ is set before the request is submitted, for its answer
// may be there before submit() returns.
void VolumeChange::trim_next() {
    const std::uint64_t bytes = std::min(kTrimBytes, end_ - at_);
    pending_.store(true, std::memory_order_relaxed);
    Request request{Op::trim, at_, bytes, nullptr, [this](Status status) {
                        trimmed_ = std::move(status);
                        pending_.store(false, std::memory_order_release);
                    }};
    const Status taken = core_.submit(*trimming_, std::move(request));
    if (taken) {
        at_ += bytes;
        return;
    }
    pending_.store(false, std::memory_order_relaxed);
    if (taken.error().code != Errc::busy) trimmed_ = taken;  // otherwise the next step tries again
}

}  // namespace qlcshape
