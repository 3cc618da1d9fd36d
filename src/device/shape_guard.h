// SPDX-License-Identifier: Apache-2.0
// Asserts the shape of writes where nothing can bypass it: a QLC drive sees full strips, in order,
// each at the write position of its unit (a band's part of the drive, or a reserved unit for
// superblocks), and a unit is discarded whole.
//
// Positions are kept in strips per unit. They start at "unknown": the opener sets a unit's position
// (recovered from media) or discards the unit before its first write.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace qlcshape {

class ShapeGuard {
  public:
    ShapeGuard(std::uint64_t capacity_bytes, std::uint64_t strip_bytes, std::uint64_t unit_bytes);

    void set_position(std::uint64_t unit, std::uint32_t strips);

    // Assert, and advance the position. Called in the order of submission.
    void on_write(std::uint64_t offset, std::uint64_t bytes);
    void on_discard(std::uint64_t offset, std::uint64_t bytes);

    std::uint64_t strips_written() const { return strips_written_.load(std::memory_order_relaxed); }

  private:
    static constexpr std::uint32_t kUnknown = UINT32_MAX;
    std::uint64_t strip_bytes_;
    std::uint64_t unit_bytes_;
    std::uint64_t units_;
    std::unique_ptr<std::atomic<std::uint32_t>[]> positions_;
    std::atomic<std::uint64_t> strips_written_{0};
};

}  // namespace qlcshape
