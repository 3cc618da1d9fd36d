// SPDX-License-Identifier: Apache-2.0
#include "kv_store/store.h"

#include <iterator>
#include <utility>

namespace kv_store {

using qlcshape::Op;
using qlcshape::Status;

// Of buckets as encoded; as strings they take some times that.
constexpr std::size_t kCacheBytes = 32 << 20;

void Store::submit(Task task) {
    const std::uint64_t number =
        task.kind == Task::Kind::list ? task.bucket : hash(task.key) % buckets_;
    Slot& to = slot(number);
    to.tasks.push_back(std::move(task));
    if (!to.batch && to.tasks.size() == 1) ready_.push_back(&to);
}

void Store::run() {
    io_.poll();
    while (!ready_.empty() || !over_.empty()) {
        for (Slot* slot : std::exchange(over_, {})) end(*slot);
        for (Slot* slot : std::exchange(ready_, {})) begin(*slot);
    }
    shrink_cache();
}

Store::Slot& Store::slot(std::uint64_t number) {
    if (const auto found = by_number_.find(number); found != by_number_.end()) {
        slots_.splice(slots_.begin(), slots_, found->second);
        return slots_.front();
    }
    slots_.emplace_front().number = number;
    by_number_[number] = slots_.begin();
    return slots_.front();
}

void Store::begin(Slot& slot) {
    ++running_;
    slot.batch = std::make_unique<Batch>(slot, buckets_, io_, space_,
                                         [this, &slot] { over_.push_back(&slot); });
    slot.batch->start();
}

void Store::end(Slot& slot) {
    --running_;
    Batch::Outcome outcome = std::move(slot.batch->outcome());
    slot.batch.reset();
    if (!slot.tasks.empty()) ready_.push_back(&slot);

    const std::size_t bytes = sizeof(Slot) + (slot.bucket ? slot.bucket->encoded_bytes() : 0);
    cached_bytes_ += bytes - std::exchange(slot.counted_bytes, bytes);
    keys_ += static_cast<std::uint64_t>(outcome.keys_added);
    for (const Extent extent : outcome.freed) free_later(extent);
    for (auto& [done, answer] : outcome.answers) done(std::move(answer));
}

// Trimmed, so that the engine need not carry the old bytes along. A new owner may write only when
// the trim is done, for requests in flight have no order. A failed trim costs space, nothing else.
void Store::free_later(Extent extent) {
    io_.submit(Op::trim, extent.offset_bytes(), extent.bytes(), nullptr,
               [this, extent](const Status&) { space_.free(extent); });
}

void Store::shrink_cache() {
    for (auto at = slots_.end(); cached_bytes_ > kCacheBytes && at != slots_.begin();) {
        --at;
        if (at->batch || !at->tasks.empty()) continue;
        cached_bytes_ -= at->counted_bytes;
        by_number_.erase(at->number);
        at = slots_.erase(at);
    }
}

}  // namespace kv_store
