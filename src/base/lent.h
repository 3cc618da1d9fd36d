// SPDX-License-Identifier: Apache-2.0
// Memory that drives may still use though its owner does not: of transfers that were given up. A
// Buffer that any of it lies in is freed when the drives have ended. Any thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qlcshape {

// As long as this lives.
class Lent {
  public:
    using Parts = std::vector<std::span<const std::byte>>;
    explicit Lent(Parts parts);
    ~Lent();
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;

  private:
    const Parts parts_;
};

// Frees it now, or when no drive uses any of it.
using FreeMemory = void (*)(std::byte* memory, std::size_t bytes);
void free_when_returned(std::byte* memory, std::size_t bytes, FreeMemory free) noexcept;

}  // namespace qlcshape
