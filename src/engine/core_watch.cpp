// SPDX-License-Identifier: Apache-2.0
// Drives that don't answer. A transfer under way can't be taken back: the drive may still write to
// its memory, or read from it. Who asked for it is told that it failed, the memory stays the
// drive's, and the drive goes out like one that takes no writes (core_leave.cpp):
//
//   IoQueue::end_late(), in poll()          ends what takes too long; gives the drive up
//   watch(), on its own thread              wakes other workers, which have more of that drive
//   look_at_drives()                        decides whether the array can do without the drive
//
// A call of the kernel that doesn't return holds the thread. Then nothing of the engine that such
// memory belongs to may go on, or go; and what users lent it is let go of before they are told:
//
//   watch()                                 workers                  requests
//   a call takes too long, or nothing
//   moves: gate_ fails, phase `halted`
//                                           each sees the phase:     new ones are refused
//                                           nothing moves any more,
//                                           and `reached` says so
//   all have reached it: end_all()                                   those in flight get an error;
//                                                                    their memory is not touched
//
// The order matters in the last step: a shard that still polls might copy a block into a buffer
// whose owner has got the error and freed it. A worker inside a call of the kernel that doesn't
// return can't reach the phase; then held_fast() lets closing give up instead of waiting.
#include <algorithm>

#include "engine/core.h"

namespace qlcshape {

std::unique_ptr<IoQueue> Core::make_queue(std::vector<std::span<std::byte>> memory,
                                          IoQueue::Late late) {
    auto queue = environment_.make_queue(std::move(memory));
    if (environment_.io_clock != nullptr) queue->set_clock(*environment_.io_clock, late);
    return queue;
}

void Core::watch() {
    if (environment_.io_clock == nullptr) return;
    environment_.io_clock->look();
    if (halted()) {
        if (all_reached(Phase::halted)) requests_->end_all(halted_why_);
        return;
    }
    for (const auto& w : workers_) {
        if (w->broken() != Worker::Broken::no) return halt(describe(w->broken()), {});
    }
    if (requests_->done_threw())
        return halt("since a request's `done` threw an exception, which it must not", {});
    if (const auto late = held_call()) {
        std::string why = "since a drive does not answer: " + what_failed(*late);
        late->device->give_up(*late);
        return halt(why, *late);
    }
    if (stands_still()) {
        halt(fmt::format("since nothing has moved for {} s: a request waits, and no drive has "
                         "anything to do; that is a fault of this program: report it",
                         environment_.io_clock->limit_ns() / 1'000'000'000),
             {});
    }
}

// Of a transfer in a call that holds its thread for too long. Others end with the next poll of
// their queue, and so does what is under way on a drive that another thread has given up.
std::optional<Io> Core::held_call() {
    const std::uint64_t given_up = environment_.io_clock->given_up();
    if (std::exchange(given_up_, given_up) != given_up) wake_workers();
    polls_.resize(workers_.size());
    std::optional<Io> late = readers_.held_call();
    if (!late) late = control_->held_call();
    all_polled_ = true;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        Worker& w = *workers_[i];
        if (!late) late = w.queue().held_call();
        all_polled_ &= w.polls() != std::exchange(polls_[i], w.polls());
    }
    return late;
}

// The reason is in place before the phase tells other threads to look for it.
// In memory that opening took, where the words are not too long.
void Core::halt(std::string_view why, const Io& by) {
    halted_why_ = why;
    halted_at_ = environment_.io_clock->now();
    gate_->fail(by);
    phase_.store(static_cast<int>(Phase::halted));
    wake_workers();
}

// Requests wait, or closing does, no transfer is under way, and workers look and find nothing to do
// for as long as a transfer may take. That would be a bug of the engine's; an error that can be
// reported is better than a hang. A slow drive doesn't look like it (a transfer is under way), nor
// does a machine without processors to spare (workers don't poll).
bool Core::stands_still() {
    std::uint64_t motion = 1 + bands_->changes();
    // Until it is decided whether a drive leaves, what waits for that has no transfer.
    bool quiet = !array_.drive_leaves();
    for (const auto& w : workers_) {
        motion += w->queue().ended();
        quiet &= w->queue().quiet();
    }
    for (const Shard* shard : shards_) motion += shard->ended();
    if (scrubber_ != nullptr)  // nobody waits for those
        motion -= scrubber_->transfers_ended() + healer_->transfers_ended();
    const bool waits = requests_->any() || (phase() != Phase::running && !all_reached(phase()));
    const bool still = waits && quiet && all_polled_ && motion == std::exchange(motion_, motion);
    if (!still) moved_at_ = environment_.io_clock->now();
    return still && environment_.io_clock->too_long_since(moved_at_);
}

bool Core::all_reached(Phase phase) const {
    return std::ranges::all_of(workers_, [&](const auto& w) { return w->reached() >= phase; });
}

bool Core::held_fast() const {
    return halted() && environment_.io_clock->too_long_since(halted_at_);
}

}  // namespace qlcshape
