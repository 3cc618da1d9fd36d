// SPDX-License-Identifier: Apache-2.0
#include "shard/flush_barrier.h"

namespace qlcshape {

bool FlushBarrier::poll(OpFifo& ended) {
    bool any = false;
    if (!flushing_.empty() && in_flight_[phase_ ^ 1] == 0) {
        ended = flushing_.take();
        any = true;
    }
    if (flushing_.empty() && !waiting_.empty()) {
        flushing_ = waiting_.take();
        phase_ ^= 1;
        any = true;
    }
    return any;
}

}  // namespace qlcshape
