// SPDX-License-Identifier: Apache-2.0
#include "device/shape_guard.h"

#include "base/assert.h"

namespace qlcshape {

ShapeGuard::ShapeGuard(std::uint64_t capacity_bytes, std::uint64_t strip_bytes,
                       std::uint64_t unit_bytes)
    : strip_bytes_(strip_bytes), unit_bytes_(unit_bytes) {
    QS_ASSERT(strip_bytes > 0);
    QS_ASSERT(unit_bytes >= strip_bytes && unit_bytes % strip_bytes == 0);
    units_ = capacity_bytes / unit_bytes;
    QS_ASSERT(units_ > 0);
    positions_ = std::make_unique<std::atomic<std::uint32_t>[]>(units_);
    for (std::uint64_t unit = 0; unit < units_; ++unit) {
        positions_[unit].store(kUnknown, std::memory_order_relaxed);
    }
}

void ShapeGuard::set_position(std::uint64_t unit, std::uint32_t strips) {
    QS_ASSERT(unit < units_);
    QS_ASSERT(strips <= unit_bytes_ / strip_bytes_);
    positions_[unit].store(strips);
}

void ShapeGuard::on_write(std::uint64_t offset, std::uint64_t bytes) {
    QS_ASSERT(bytes == strip_bytes_);
    QS_ASSERT(offset % strip_bytes_ == 0);
    const std::uint64_t unit = offset / unit_bytes_;
    QS_ASSERT(unit < units_);
    auto position = static_cast<std::uint32_t>(offset % unit_bytes_ / strip_bytes_);
    // Exchanged, so that of two threads that write the same strip one is caught.
    const bool at_write_position = positions_[unit].compare_exchange_strong(position, position + 1);
    QS_ASSERT(at_write_position);
    strips_written_.fetch_add(1, std::memory_order_relaxed);
}

void ShapeGuard::on_discard(std::uint64_t offset, std::uint64_t bytes) {
    QS_ASSERT(offset % unit_bytes_ == 0);
    QS_ASSERT(bytes > 0 && bytes % unit_bytes_ == 0);
    const std::uint64_t first = offset / unit_bytes_;
    const std::uint64_t count = bytes / unit_bytes_;
    QS_ASSERT(first <= units_ && count <= units_ - first);
    for (std::uint64_t unit = first; unit < first + count; ++unit) positions_[unit].store(0);
}

}  // namespace qlcshape
