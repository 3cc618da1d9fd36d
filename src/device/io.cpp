// SPDX-License-Identifier: Apache-2.0
// Words for transfers, and run(): transfers made one batch at a time by code that may sleep.
#include "device/io.h"

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "device/device.h"
#include "device/remedy.h"

namespace qlcshape {

const char* to_string(IoKind kind) {
    switch (kind) {
        case IoKind::read:
            return "read";
        case IoKind::write:
            return "write";
        case IoKind::flush:
            return "flush";
        case IoKind::discard:
            return "discard";
    }
    return "unknown";
}

const char* to_string(PersistencePoint point) {
    static constexpr const char* kNames[] = {
        "none",
        "create",
        "tps write",
        "strip write",
        "strip flush",
        "gc strip write",
        "gc strip flush",
        "keeper write",
        "keeper flush",
        "keeper discard",
        "rebuild discard",
        "rebuild write",
        "rebuild flush",
        "pmt write back",
        "snapshot table flush",
        "snapshot bits write",
        "snapshot bits flush",
        "snapshot write",
        "snapshot flush",
        "open flush",
        "replay strip write",
        "replay strip flush",
        "table build write",
        "table build flush",
        "table update write",
        "table update flush",
        "table bits write",
        "table bits flush",
        "recovery snapshot write",
        "recovery snapshot flush",
        "band table write",
        "band table flush",
        "qlc superblock discard",
        "qlc superblock write",
        "qlc superblock flush",
        "scm superblock discard",
        "scm superblock write",
        "scm superblock flush",
        "resilver write",
    };
    static_assert(std::size(kNames) == static_cast<std::size_t>(PersistencePoint::count));
    return kNames[static_cast<std::size_t>(point)];
}

std::string what_failed(const Io& io) {
    QS_ASSERT(io.error_number != 0);
    const char* cause = strerrordesc_np(io.error_number);
    if (cause == nullptr) cause = "unknown error";
    if (io.kind == IoKind::flush) {
        return fmt::format("{}: flush failed: {} (errno {})", io.device->path(), cause,
                           io.error_number);
    }
    return fmt::format("{}: {} of {} bytes at offset {} failed: {} (errno {})", io.device->path(),
                       to_string(io.kind), io.bytes, io.offset, cause, io.error_number);
}

std::string remedy_of(const Io& io) { return remedy_of(io.error_number, io.device->path()); }

Error describe_failure(const Io& io) {
    return {io.error_number == EROFS ? Errc::read_only : Errc::io_error,
            what_failed(io) + "; " + remedy_of(io)};
}

void Device::count_failure(const Io& io) {
    {
        const Locked lock(failure_mutex_);
        last_failure_ = io;
    }
    if (!refused_by_system(io.error_number)) {
        in_a_row_.fetch_add(1, std::memory_order_relaxed);
        if (io.kind != IoKind::read) refusals_.note_failure();
    }
    if (io.kind != IoKind::read) note_silent(io.error_number);
    failures_.fetch_add(1, std::memory_order_relaxed);
}

void Device::give_up(const Io& late) {
    if (!given_up_.exchange(true)) count_failure(late);
}

bool Device::keeps_any() const {
    const std::shared_ptr<const DriveLock> held = lock();
    constexpr long kOwners = 2;  // the device, and this
    return held != nullptr && (held.use_count() > kOwners || held->left_to_kernel());
}

bool Device::hand_over(Io&, Io&, IoQueue&) {
    QS_ASSERT(false);
    return false;
}

Io Device::last_failed() const {
    const Locked lock(failure_mutex_);
    return last_failure_;
}

std::string Device::last_failure() const {
    const Io last = last_failed();
    return last.error_number == 0 ? "" : describe_failure(last).message;
}

Status run(IoQueue& queue, std::span<Io> ios) {
    constexpr std::uint64_t kLookAgainUs = 100'000;
    std::size_t left = ios.size();
    for (Io& io : ios) {
        io.context = &left;
        io.done = [](Io& finished) { --*static_cast<std::size_t*>(finished.context); };
        queue.submit(io);
    }
    while (left != 0) {
        if (queue.poll() == 0) queue.wait(kLookAgainUs);
    }
    for (const Io& io : ios) {
        if (io.error_number != 0) return fail(describe_failure(io));
    }
    return {};
}

Status run(IoQueue& queue, Io io) { return run(queue, std::span<Io>(&io, 1)); }

Status flush_drives(std::span<Device* const> drives, IoQueue& queue, PersistencePoint point) {
    std::vector<Io> flushes;
    for (Device* const drive : drives) {
        if (drive == nullptr || drive->out()) continue;
        Io& io = flushes.emplace_back();
        io.kind = IoKind::flush;
        io.point = point;
        io.device = drive;
    }
    return run(queue, flushes);
}

}  // namespace qlcshape
