// SPDX-License-Identifier: Apache-2.0
// Handles of volumes, and calls that wait for a request.
#include "qlcshape/volume.h"

#include <semaphore.h>

#include <chrono>
#include <thread>

#include "base/callback.h"
#include "engine/engine_impl.h"

namespace qlcshape {

Status refuse_in_callback(const char* what) {
    if (!InCallback::now()) return {};
    return fail(Errc::invalid_argument,
                "{}: must not be called from a function that the engine calls (a request's `done`, "
                "the log), because it would wait for itself; call it from another thread, or use "
                "Volume::submit()",
                what);
}

Status submit_and_wait(Core& core, VolumeState& volume, Op op, std::uint64_t offset,
                       std::uint64_t bytes, void* data) {
    // A semaphore may go as soon as the waiter has passed, which a condition may not; and nobody is
    // woken only to wait for a mutex.
    sem_t finished;
    ::sem_init(&finished, 0, 0);
    Status outcome;
    Status taken;
    for (;;) {
        Request request{op, offset, bytes, data, [&](Status status) {
                            outcome = std::move(status);
                            ::sem_post(&finished);
                        }};
        taken = core.submit(volume, std::move(request));
        if (taken || taken.error().code != Errc::busy) break;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    while (taken && ::sem_wait(&finished) != 0) {  // a signal
    }
    ::sem_destroy(&finished);
    return taken ? outcome : taken;
}

const std::string& Volume::name() const {
    static const std::string none;
    return state_ == nullptr ? none : state_->name;
}
std::uint64_t Volume::size_bytes() const { return state_ == nullptr ? 0 : state_->bytes(); }
std::uint64_t Volume::atomic_write_max() const { return kAtomicWriteBytes; }

Status Volume::check_handle() const {
    if (state_ != nullptr) return {};
    return fail(Errc::closed, "this handle refers to no volume: it was moved from");
}

void Volume::set_device(const std::string& path) const {
    if (check_handle()) state_->core.set_device(*state_, path);
}

Status Volume::submit(Request request) const {
    QS_TRY(check_handle());
    return state_->core.submit(*state_, std::move(request));
}

Status Volume::run(Op op, std::uint64_t offset_bytes, std::uint64_t bytes, void* data) const {
    QS_TRY(check_handle());
    QS_TRY(refuse_in_callback("a blocking request"));
    if (op == Op::read && state_->core.read_inline(*state_, offset_bytes, bytes, data)) return {};
    return submit_and_wait(state_->core, *state_, op, offset_bytes, bytes, data);
}

Status Volume::read(std::uint64_t lba, std::span<std::byte> buffer) const {
    return run(Op::read, lba * kVolumeBlockBytes, buffer.size(), buffer.data());
}

Status Volume::write(std::uint64_t lba, std::span<const std::byte> buffer) const {
    return run(Op::write, lba * kVolumeBlockBytes, buffer.size(),
               const_cast<std::byte*>(buffer.data()));
}

Status Volume::trim(std::uint64_t lba, std::uint64_t count) const {
    return run(Op::trim, lba * kVolumeBlockBytes, count * kVolumeBlockBytes, nullptr);
}

Status Volume::write_zeroes(std::uint64_t lba, std::uint64_t count) const {
    return run(Op::write_zeroes, lba * kVolumeBlockBytes, count * kVolumeBlockBytes, nullptr);
}

Status Volume::flush() const { return run(Op::flush, 0, 0, nullptr); }

Status Volume::mapped(std::uint64_t lba, std::span<std::uint8_t> blocks) const {
    return run(Op::mapped, lba * kVolumeBlockBytes, blocks.size() * kVolumeBlockBytes,
               blocks.data());
}

}  // namespace qlcshape
