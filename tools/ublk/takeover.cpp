// SPDX-License-Identifier: Apache-2.0
#include "tools/ublk/takeover.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "admin/holder.h"
#include "base/process.h"
#include "qlcshape/engine.h"
#include "tools/ublk/shape.h"

namespace qlcshape::ublk {

namespace {

// The old server waits for its drives, and writes its table back.
constexpr int kPatienceMs = 5 * 60 * 1000;

// Of the process that the kernel has as the server of these devices.
struct Serving {
    std::int32_t pid = 0;
    std::vector<std::string> volumes;
};

Serving serving(const Control& control, const Stats& stats) {
    Serving found;
    for (const DeviceInfo& info : control.all()) {
        if (info.state != UBLK_S_DEV_LIVE) continue;
        for (const VolumeInfo& volume : stats.volumes) {
            if (info.ublksrv_flags != mark_of(stats.array_uuid, volume.uuid)) continue;
            found.pid = info.ublksrv_pid;
            found.volumes.push_back(volume.name);
        }
    }
    return found;
}

Status end_process(std::int32_t pid) {
    const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (process < 0 && errno == ESRCH) return {};
    if (process < 0 ||
        ::syscall(SYS_pidfd_send_signal, process, kHandOverSignal, nullptr, 0) != 0) {
        const int why = errno;
        if (process >= 0) ::close(process);
        return fail(Errc::io_error, "{} can't be told to hand over: {}; run as its user, or root",
                    describe_process(pid), std::strerror(why));
    }
    pollfd polled{process, POLLIN, 0};
    int ended;
    do {
        ended = ::poll(&polled, 1, kPatienceMs);
    } while (ended < 0 && errno == EINTR);
    ::close(process);
    if (ended == 1) return {};
    return fail(Errc::busy,
                "{} did not end in {} minutes since it was told to hand over; kill it (kill -9 "
                "{}), and serve again: nothing acknowledged is lost",
                describe_process(pid), kPatienceMs / 60000, pid);
}

}  // namespace

Status take_over(const Control& control, const Options& options,
                 const std::vector<std::string>& volumes) {
    const auto holder = Holder::of(options);
    if (!holder && holder.error().code == Errc::not_found) return {};
    if (!holder) return fail(holder.error());
    const auto stats = holder->stats();
    if (!stats) return fail(stats.error());
    const Serving old = serving(control, *stats);
    if (old.volumes.empty()) {
        return fail(Errc::busy, "{} has the array open, and serves none of it with --ublk; end it",
                    holder->process());
    }
    for (const std::string& name : old.volumes) {
        if (volumes.empty() || std::ranges::find(volumes, name) != volumes.end()) continue;
        return fail(Errc::busy,
                    "{} serves volume {} too, which would be without a server; name it "
                    "as well (--volume {})",
                    holder->process(), name, name);
    }
    return end_process(old.pid);
}

}  // namespace qlcshape::ublk
