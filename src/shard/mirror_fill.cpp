// SPDX-License-Identifier: Apache-2.0
#include "shard/mirror_fill.h"

#include <utility>

#include "base/canary.h"

namespace qlcshape {

bool MirrorFill::poll() {
    const std::uint64_t asked = asked_.load(std::memory_order_acquire);
    if (asked == done_.load(std::memory_order_relaxed)) return false;
    const auto drive = static_cast<std::uint32_t>(asked % kOne);
    if (drive != kNoDrive) {
        if (shard_.has_failed()) return false;
        const bool begins = std::exchange(begun_, asked) != asked;
        if (begins) {
            pipeline_.begin_renewal();
            shard_.cache.begin_rewrite(shard_.index, drive);
        }
        const bool renewed = pipeline_.renew();
        const bool rewritten = canary(Canary::joins_without_table) || shard_.cache.rewrite();
        share_.store(shard_.cache.share_rewritten(), std::memory_order_relaxed);
        pages_.store(shard_.cache.pages_rewritten(), std::memory_order_relaxed);
        if (!renewed || !rewritten) return begins;
    }
    done_.store(asked, std::memory_order_release);
    return true;
}

}  // namespace qlcshape
