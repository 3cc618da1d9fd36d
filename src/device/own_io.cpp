// SPDX-License-Identifier: Apache-2.0
#include "device/own_io.h"

#include <cstring>
#include <new>
#include <utility>

#include "base/types.h"
#include "device/device.h"

namespace qlcshape {

namespace {

bool has_memory(const Io& io) { return io.kind == IoKind::read || io.kind == IoKind::write; }

}  // namespace

std::unique_ptr<OwnIo> OwnIo::copy_of(Io& io) {
    std::unique_ptr<OwnIo> copy(new (std::nothrow) OwnIo(io));
    if (copy == nullptr) return nullptr;
    copy->original = &io;
    if (!has_memory(io)) return copy;
    copy->memory_.reset(static_cast<std::byte*>(
        std::aligned_alloc(kBlockBytes, round_up(io.bytes, std::uint64_t{kBlockBytes}))));
    if (copy->memory_ == nullptr) return nullptr;
    if (io.kind == IoKind::write) {
        std::byte* to = copy->memory_.get();
        io.for_each_part([&](const std::byte* from, std::uint64_t n) {
            std::memcpy(to, from, n);
            to += n;
        });
    }
    copy->data = copy->memory_.get();
    copy->parts = {};
    return copy;
}

std::unique_ptr<OwnIo> OwnIo::heir_of(const Io& io) {
    std::unique_ptr<OwnIo> heir(new (std::nothrow) OwnIo(io));
    if (heir == nullptr || !heir->leave_to_drive()) return nullptr;
    return heir;
}

bool OwnIo::leave_to_drive() {
    try {
        if (memory_ == nullptr && has_memory(*this)) {
            Lent::Parts used;
            for_each_part([&](const std::byte* at, std::uint64_t n) { used.emplace_back(at, n); });
            lent_.emplace(std::move(used));
            parts_.assign(parts.begin(), parts.end());
        }
        unanswered_.emplace(device->medium(), device->path());
    } catch (const std::bad_alloc&) {
        return false;
    }
    parts = parts_;
    lock_ = device->lock();
    kept = true;
    return true;
}

void OwnIo::leave_for_good() {
    device = nullptr;  // which may go
    if (lock_ != nullptr) lock_->leave_to_kernel();
    lock_.reset();
}

void OwnIo::bring_back() {
    if (kind == IoKind::read && error_number == 0) std::memcpy(original->data, data, bytes);
    original->error_number = error_number;
}

}  // namespace qlcshape
