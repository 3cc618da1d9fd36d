// SPDX-License-Identifier: Apache-2.0
// Memory for I/O: aligned to a block, taken once at open.
//
// Large buffers (the PMT's cache) are zero-filled by the system when they are first touched, in the
// largest pages that it has. So opening needn't wait until gigabytes are cleared.
//
// What a drive may still use when the buffer goes stays until the drive has ended (base/lent.h).
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "base/assert.h"
#include "base/lent.h"
#include "base/types.h"

namespace qlcshape {

class Buffer {
  public:
    Buffer() = default;
    // Zeroed. `bytes` is a multiple of a block. Throws std::bad_alloc as any allocation does: see
    // engine/limits.h.
    explicit Buffer(std::size_t bytes) : memory_(nullptr, Free{bytes}), bytes_(bytes) {
        QS_ASSERT(bytes % kBlockBytes == 0);
        if (bytes >= kLarge) {
            void* memory =
                ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (memory == MAP_FAILED) throw std::bad_alloc();
            ::madvise(memory, bytes, MADV_HUGEPAGE);
            memory_.reset(static_cast<std::byte*>(memory));
        } else if (bytes != 0) {
            memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, bytes)));
            if (memory_ == nullptr) throw std::bad_alloc();
            std::memset(memory_.get(), 0, bytes);
        }
    }
    // Other memory with the same contents: a drive may still use the former.
    void renew() {
        Buffer other(bytes_);
        if (bytes_ != 0) std::memcpy(other.data(), data(), bytes_);
        *this = std::move(other);
    }
    std::byte* data() const { return memory_.get(); }
    std::size_t size() const { return bytes_; }
    std::span<std::byte> span() const { return {memory_.get(), bytes_}; }

  private:
    static constexpr std::size_t kLarge = 32 * MiB;
    struct Free {
        std::size_t bytes = 0;
        void operator()(std::byte* memory) const { free_when_returned(memory, bytes, &free); }
        static void free(std::byte* memory, std::size_t bytes) {
            if (bytes >= kLarge)
                ::munmap(memory, bytes);
            else
                std::free(memory);
        }
    };
    std::unique_ptr<std::byte, Free> memory_{nullptr, Free{}};
    std::size_t bytes_ = 0;
};

}  // namespace qlcshape
