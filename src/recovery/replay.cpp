// SPDX-License-Identifier: Apache-2.0
#include "recovery/replay.h"

#include <cstring>

#include "placement/failures.h"

namespace qlcshape {

Replay::Replay(const ArrayContext& array, BandTable& bands, BandKeeper& keeper, IoQueue& queue,
               Counters& counters)
    : array_(array),
      bands_(bands),
      keeper_(keeper),
      queue_(queue),
      committer_(array, bands, Stream::user, Committer::kNoShard, queue, counters),
      memory_(SegmentBuffer::bytes_needed(array.layout)),
      segment_(array.layout, memory_.span()) {
    segment_.reset();
    // In no table yet, but counted as published, so that the band can close. The update of the
    // table reads all of these bands, for their sequences are above any snapshot's.
    committer_.durable = [this](SegmentBuffer& done) {
        bands_.published(done.placement, done.tombstone_blocks());
        settled_ = true;
    };
}

Replay::~Replay() {
    while (queue_.in_flight() != 0) {
        if (queue_.poll() == 0) queue_.wait(1000);
    }
}

Status Replay::append(const Entry& entry, const std::byte* data) {
    if (segment_.room() == 0) QS_TRY(commit());
    std::memcpy(segment_.slot_data(segment_.fill()), data, kBlockBytes);
    segment_.append(entry);
    ++blocks_;
    return {};
}

Status Replay::append(const Tombstone& tombstone) {
    if (!segment_.has_tombstone_room()) QS_TRY(commit());
    segment_.append_tombstone(tombstone);
    return {};
}

Status Replay::finish() { return segment_.empty() ? Status{} : commit(); }

// One segment at a time: nobody is served meanwhile. The keeper is polled here, too, for it makes
// the bands ready.
Status Replay::commit() {
    segment_.finish_filling();
    settled_ = false;
    committer_.commit(segment_);
    while (!settled_) {
        if (committer_.failed() || keeper_.failed()) {
            return fail(Errc::io_error,
                        "recovery could not commit a segment in {} attempts: {}; until then it "
                        "can be opened read-only",
                        segment_.attempts, failed_opening(queue_.last_failed_write(), array_));
        }
        const bool any =
            static_cast<int>(committer_.poll()) + static_cast<int>(keeper_.poll()) != 0;
        if (any || queue_.poll() != 0) continue;
        if (queue_.in_flight() == 0 && !keeper_.can_open() && keeper_.idle() && !settled_ &&
            segment_.step == SegmentBuffer::Step::placing) {
            return fail(Errc::io_error,
                        "recovery found no free band for what the TPS holds: {}; until then it "
                        "can be opened read-only",
                        failed_opening(queue_.last_failed_write(), array_));
        }
        queue_.wait(1000);
    }
    segment_.reset();
    return {};
}

}  // namespace qlcshape
