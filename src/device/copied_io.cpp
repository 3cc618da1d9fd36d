// SPDX-License-Identifier: Apache-2.0
#include "device/copied_io.h"

#include <cstring>

#include "base/types.h"

namespace qlcshape {

CopiedIo::CopiedIo(Io& io) : Io(io), original(&io) {
    if (io.kind != IoKind::read && io.kind != IoKind::write) return;
    memory_.reset(static_cast<std::byte*>(
        std::aligned_alloc(kBlockBytes, round_up(io.bytes, std::uint64_t{kBlockBytes}))));
    if (memory_ == nullptr) return;
    if (io.kind == IoKind::write) {
        std::byte* to = memory_.get();
        io.for_each_part([&](const std::byte* from, std::uint64_t n) {
            std::memcpy(to, from, n);
            to += n;
        });
    }
    data = memory_.get();
    parts = {};
}

void CopiedIo::bring_back() {
    if (kind == IoKind::read && error_number == 0) std::memcpy(original->data, data, bytes);
    original->error_number = error_number;
}

}  // namespace qlcshape
