// Memory for I/O: aligned to a block, taken once at open.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "base/assert.h"
#include "base/types.h"

namespace qlcshape {

class Buffer {
  public:
    Buffer() = default;
    // Zeroed. `bytes` is a multiple of a block.
    explicit Buffer(std::size_t bytes) : bytes_(bytes) {
        QS_ASSERT(bytes % kBlockBytes == 0);
        memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, bytes)));
        QS_ASSERT(memory_ != nullptr || bytes == 0);
        if (bytes != 0) std::memset(memory_.get(), 0, bytes);
    }
    std::byte* data() const { return memory_.get(); }
    std::size_t size() const { return bytes_; }
    std::span<std::byte> span() const { return {memory_.get(), bytes_}; }

  private:
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    std::unique_ptr<std::byte, Free> memory_;
    std::size_t bytes_ = 0;
};

}  // namespace qlcshape
