// SPDX-License-Identifier: Apache-2.0
// The transfers of one queue that have begun and not ended, oldest first. The queue's owner changes
// it; any thread may ask for the oldest.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "device/transfer.h"

namespace qlcshape {

class InFlight {
  public:
    void add(Io& io, std::uint64_t now) {
        io.begun = now;
        io.number = added_.load(std::memory_order_relaxed) + 1;
        added_.store(io.number, std::memory_order_release);
        io.newer = nullptr;
        io.older = newest_;
        (newest_ == nullptr ? oldest_ : newest_->newer) = &io;
        newest_ = &io;
        if (oldest_ == &io) show();
    }
    void remove(Io& io) {
        const bool was_oldest = oldest_ == &io;
        (io.older == nullptr ? oldest_ : io.older->newer) = io.newer;
        (io.newer == nullptr ? newest_ : io.newer->older) = io.older;
        if (was_oldest) show();
    }
    Io* oldest() const { return oldest_; }

    // --- any thread ---
    bool empty() const { return shown_.device.load(std::memory_order_acquire) == nullptr; }
    // How many there have been.
    std::uint64_t added() const { return added_.load(std::memory_order_acquire); }
    // Whether none of the first so many is under way.
    bool ended(std::uint64_t first) const {
        return empty() || shown_.number.load(std::memory_order_relaxed) > first;
    }
    // Of the oldest: what it is and when it began. While the owner changes the list, of two
    // transfers mixed; not of one that is there for long.
    std::optional<Io> look() const {
        Io io;
        io.device = shown_.device.load(std::memory_order_acquire);
        if (io.device == nullptr) return std::nullopt;
        io.kind = shown_.kind.load(std::memory_order_relaxed);
        io.offset = shown_.offset.load(std::memory_order_relaxed);
        io.bytes = shown_.bytes.load(std::memory_order_relaxed);
        io.begun = shown_.begun.load(std::memory_order_relaxed);
        return io;
    }

  private:
    void show() {
        if (oldest_ != nullptr) {
            shown_.kind.store(oldest_->kind, std::memory_order_relaxed);
            shown_.offset.store(oldest_->offset, std::memory_order_relaxed);
            shown_.bytes.store(oldest_->bytes, std::memory_order_relaxed);
            shown_.begun.store(oldest_->begun, std::memory_order_relaxed);
            shown_.number.store(oldest_->number, std::memory_order_relaxed);
        }
        shown_.device.store(oldest_ == nullptr ? nullptr : oldest_->device,
                            std::memory_order_release);
    }

    Io* oldest_ = nullptr;
    Io* newest_ = nullptr;
    struct Shown {
        std::atomic<Device*> device{nullptr};
        std::atomic<IoKind> kind{IoKind::read};
        std::atomic<std::uint64_t> offset{0}, bytes{0}, begun{0}, number{0};
    } shown_;
    std::atomic<std::uint64_t> added_{0};
};

}  // namespace qlcshape
