// SPDX-License-Identifier: Apache-2.0
#include "tools/ublk/device.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <future>
#include <system_error>
#include <thread>

#include "base/size_text.h"
#include "tools/ublk/ring_link.h"

namespace qlcshape::ublk {

namespace {

constexpr int kOpenTries = 50;
constexpr std::chrono::milliseconds kBetweenTries(100);

// Where all slots of a queue are with a server that dies, older kernels (6.12 for one) notice by a
// request's time limit alone. To a server that lives the limit does nothing.
constexpr const char* kTimeLimitMs = "1000";

}  // namespace

// A queue, its way to the kernel and its thread.
struct Device::Worker {
    Worker(int fd, std::uint16_t number, const DeviceInfo& info, bool encoded,
           std::span<std::byte> memory, const Volume& volume, const Report& report)
        : link(fd, number, info.queue_depth, encoded),
          queue(
              link, info.queue_depth, memory,
              [&volume](Request request) { return volume.submit(std::move(request)); },
              [&report](const Error& error) { report(LogLevel::error, error.message); }) {}

    void run() {
        running = true;
        Status armed = link.set_up();
        if (armed) armed = queue.arm();
        const bool good = armed.has_value();
        ready.set_value(std::move(armed));
        while (good && queue.turn()) {
        }
        link.close();
        running = false;
    }

    RingLink link;
    Queue queue;
    std::promise<Status> ready;
    std::atomic<bool> running{false};
    std::thread thread;
};

Result<std::optional<DeviceInfo>> find_left(const Control& control, const Wish& wish) {
    if (!wish.number) {
        for (const DeviceInfo& info : control.all()) {
            if (info.ublksrv_flags == wish.mark) return info;
        }
        return std::nullopt;
    }
    const auto info = control.info(*wish.number);
    if (!info && info.error().code == Errc::not_found) return std::nullopt;
    if (!info) return fail(info.error());
    if (info->ublksrv_flags == wish.mark) return *info;
    return fail(Errc::exists,
                "{}: it is another volume's or another program's (process {}); choose another "
                "--id, or delete it: `qlcshape ublk delete {}`",
                block_path(*wish.number), info->ublksrv_pid, *wish.number);
}

bool is_claimed(std::uint32_t device) {
    const int fd = ::open(block_path(device).c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno == EBUSY;
    ::close(fd);
    return false;
}

Device::Device(const Control& control, DeviceInfo info, const Volume& volume, Report report)
    : control_(control), info_(info), volume_(volume), report_(std::move(report)) {}

Device::~Device() {
    end_queues();
    close_character_device();
    workers_.clear();
    if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

Result<std::unique_ptr<Device>> Device::serve(const Control& control, const Wish& wish,
                                              const Volume& volume, Report report) {
    auto left = find_left(control, wish);
    if (!left) return fail(left.error());
    // A server that died before it started the device.
    if (*left && (*left)->state == UBLK_S_DEV_DEAD) {
        QS_TRY(control.remove(**left));
        left = std::nullopt;
    }
    const DeviceInfo wished = info_of(std::thread::hardware_concurrency(), wish.mark);
    std::unique_ptr<Device> device(
        new Device(control, left->value_or(wished), volume, std::move(report)));
    QS_TRY(*left ? device->recover(wish) : device->make(wish));
    return device;
}

Status Device::make(const Wish& wish) {
    info_.dev_id = wish.number.value_or(UINT32_MAX);
    DeviceInfo of_user = info_;
    Status made = control_.add(info_);
    if (!made && control_.features() && (*control_.features() & kUnprivileged) != 0) {
        of_user.flags = kUnprivileged;
        if (control_.add(of_user)) {
            info_ = of_user;
            made = {};
        }
    }
    QS_TRY(made);
    told_bytes_ = wish.shape.volume_bytes;
    // First, since until it can be opened a user's other commands are refused as well.
    Status good = open_character_device();
    if (good) good = control_.set_parameters(info_, parameters_of(wish.shape));
    if (good) good = run_queues();
    if (good) good = control_.start(info_);
    if (!good) {
        end_queues();
        close_character_device();
        static_cast<void>(control_.remove(info_));
        return good;
    }
    if (outlives_server()) {
        shorten_time_limit();
    } else {
        report_(LogLevel::warning, fmt::format("{}: it ends with this process, since {}", path(),
                                               (info_.flags & kUnprivileged) != 0
                                                   ? "only root's devices outlive their server"
                                                   : "this kernel is older than 6.1"));
    }
    return {};
}

Status Device::recover(const Wish& wish) {
    recovered_ = true;
    if (!outlives_server()) {
        return fail(Errc::exists, "{}: {} serves it; end that one", path(), info_.ublksrv_pid);
    }
    const auto has = control_.parameters(info_);
    if (!has) return fail(has.error());
    const Parameters wished = parameters_of(wish.shape);
    if (has->basic.logical_bs_shift != wished.basic.logical_bs_shift) {
        return fail(Errc::invalid_argument,
                    "{}: it has blocks of {} bytes, and is in use so: serve it with --block-size "
                    "{}, or delete it: `qlcshape ublk delete {}`",
                    path(), 1U << has->basic.logical_bs_shift, 1U << has->basic.logical_bs_shift,
                    info_.dev_id);
    }
    if (wish.shape.read_only && (has->basic.attrs & UBLK_ATTR_READ_ONLY) == 0) {
        return fail(Errc::read_only,
                    "{}: it takes writes, and the array is open read-only, so what waits in it "
                    "would fail: bring back the missing drives, or delete the device: `qlcshape "
                    "ublk delete {}`",
                    path(), info_.dev_id);
    }
    told_bytes_ = has->basic.dev_sectors * 512;
    QS_TRY(control_.start_recovery(info_));
    Status good = open_character_device();
    if (good) good = run_queues();
    if (good) good = control_.end_recovery(info_);
    if (!good) {
        end_queues();
        close_character_device();
        return good;
    }
    follow_size();
    return {};
}

// The node is made by the kernel, and for users given away by udev a moment later.
Status Device::open_character_device() {
    const std::string path = character_path(info_.dev_id);
    for (int tries = 0; fd_ < 0 && tries < kOpenTries; ++tries) {
        if (tries != 0) std::this_thread::sleep_for(kBetweenTries);
        fd_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        if (fd_ < 0 && errno != ENOENT && errno != EACCES && errno != EBUSY) break;
    }
    if (fd_ >= 0) return {};
    return fail(Errc::io_error,
                "{}: {}; is /dev the kernel's (devtmpfs), and does it belong to this user? See "
                "docs/ublk.md",
                path, std::strerror(errno));
}

Status Device::run_queues() {
    const std::size_t for_queue = std::size_t{info_.queue_depth} * info_.max_io_buf_bytes;
    const std::size_t bytes = for_queue * info_.nr_hw_queues;
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return fail(Errc::no_memory, "{}: {} for its requests: {}; raise the limit (ulimit -v)",
                    path(), size_text(bytes), std::strerror(errno));
    }
    memory_ = {static_cast<std::byte*>(memory), bytes};
    const bool encoded = control_.features().has_value();
    Status good;
    try {
        for (std::uint16_t i = 0; i < info_.nr_hw_queues; ++i) {
            workers_.push_back(std::make_unique<Worker>(fd_, i, info_, encoded,
                                                        memory_.subspan(i * for_queue, for_queue),
                                                        volume_, report_));
            Worker& worker = *workers_.back();
            worker.thread = std::thread([&worker] { worker.run(); });
            ::pthread_setname_np(worker.thread.native_handle(),
                                 fmt::format("qs-ublk{}-{}", info_.dev_id, i).c_str());
        }
    } catch (const std::system_error& error) {
        good = fail(Errc::no_memory, "a thread for a queue: {}; raise the limit (ulimit -u)",
                    error.what());
    }
    for (const auto& worker : workers_) {
        if (!worker->thread.joinable()) continue;
        const Status ready = worker->ready.get_future().get();
        if (good && !ready) good = ready;
    }
    if (!good) return fail(good.error().code, "{}: {}", path(), good.error().message);
    return {};
}

void Device::end_queues() {
    for (const auto& worker : workers_) {
        if (worker->thread.joinable()) worker->queue.leave();
    }
    for (const auto& worker : workers_) {
        if (worker->thread.joinable()) worker->thread.join();
    }
}

void Device::close_character_device() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

void Device::shorten_time_limit() const {
    const std::string file = fmt::format("/sys/block/ublkb{}/queue/io_timeout", info_.dev_id);
    std::ofstream limit(file);
    limit << kTimeLimitMs << std::flush;
    if (!limit) {
        report_(LogLevel::warning, fmt::format("{}: {}: after a crash the next server may have "
                                               "to wait half a minute for the kernel",
                                               file, std::strerror(errno)));
    }
}

bool Device::served() const {
    for (const auto& worker : workers_) {
        if (worker->running) return true;
    }
    return false;
}

void Device::follow_size() {
    const std::uint64_t bytes = volume_.size_bytes();
    if (bytes == told_bytes_) return;
    const bool can = control_.features() && (*control_.features() & kUpdateSize) != 0 &&
                     (info_.flags & kUpdateSize) != 0;
    const Status told = can ? control_.update_size(info_, bytes) : Status{};
    if (!told) report_(LogLevel::error, told.error().message);
    if (!can) {
        report_(LogLevel::warning,
                fmt::format("{}: the volume has {} now, and the device keeps {}, since this "
                            "kernel can't change it in use: unmount it and serve it again",
                            path(), size_text(bytes), size_text(told_bytes_)));
    }
    told_bytes_ = bytes;
}

void Device::leave() {
    end_queues();
    close_character_device();
}

// Who claims a block device (a mount does) can't while we do.
Result<bool> Device::end() {
    const int claim = ::open(path().c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
    if (claim < 0 && errno == EBUSY && outlives_server()) {
        leave();
        return true;
    }
    if (claim >= 0) ::fsync(claim);
    Status done = control_.stop(info_);
    if (claim >= 0) ::close(claim);
    end_queues();
    close_character_device();
    if (Status removed = control_.remove(info_); done && !removed) done = removed;
    if (!done) return fail(done.error());
    return false;
}

}  // namespace qlcshape::ublk
