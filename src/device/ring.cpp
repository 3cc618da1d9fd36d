// SPDX-License-Identifier: Apache-2.0
#include "device/ring.h"

#include <linux/magic.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "base/types.h"
#include "device/blocking_io.h"
#include "device/device.h"
#include "device/file_lock.h"

namespace qlcshape {

namespace {

std::uint64_t next_file_number() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

// Block devices do, and these file systems. Others, FUSE for one, take the flag and forget it.
bool does_heed_dsync(int fd) {
    struct stat file {};
    struct statfs system {};
    if (::fstat(fd, &file) != 0) return false;
    if (S_ISBLK(file.st_mode)) return true;
    if (::fstatfs(fd, &system) != 0) return false;
    return system.f_type == EXT4_SUPER_MAGIC || system.f_type == XFS_SUPER_MAGIC ||
           system.f_type == BTRFS_SUPER_MAGIC;
}

// Kernels fail to take requests for a moment (no memory, a full queue): they stay in the submission
// queue and go with the next call. So they do where entering is forbidden since set_up() tried it.
// Any other failure is ours.
void check_entered(int result) {
    QS_ASSERT(result != -EBADF && result != -EBADFD && result != -EEXIST && result != -EFAULT &&
              result != -EINVAL && result != -EOPNOTSUPP);
}

}  // namespace

OpenFile::OpenFile(int descriptor, Held held)
    : fd(descriptor),
      number(next_file_number()),
      heeds_dsync(does_heed_dsync(descriptor)),
      held_(std::move(held)) {}

OpenFile::~OpenFile() {
    // Rings may still hold the file in their tables; the lock must not live as long as they do.
    if (!left_to_kernel()) ::flock(fd, LOCK_UN);
    ::close(fd);
}

void OpenFile::mark_left() const { mark_left_to_kernel(fd); }

void OpenFile::let_go() const {
    ::flock(fd, LOCK_UN);
    held_.close();
}

void Ring::start(Io& io, const std::shared_ptr<const OpenFile>& file) {
    QS_ASSERT(io.bytes <= GiB || io.kind == IoKind::discard);
    if (free_ == kNone) return overflow_.push_back(io);
    const std::uint32_t index = take_request();
    Request& request = requests_[index];
    request.io = &io;
    request.opened = file.get();
    request.kind = io.kind;
    request.flush_after = io.durable && !file->heeds_dsync;
    request.file_is_slot = find_slot(file, request.file);
    if (!request.file_is_slot) request.file = file->fd;
    push_waiting(index);
    send_waiting();
}

bool Ring::hand_over(Io& io, Io& heir) {
    if (take_waiting(io)) return false;
    const auto request = std::ranges::find(requests_, &io, &Request::io);
    QS_ASSERT(request != requests_.end());
    request->io = &heir;
    return true;
}

// What the kernel has not heard of yet, if that is the one.
bool Ring::take_waiting(const Io& io) {
    bool found = false;
    for (Fifo<Io> all = overflow_.take(); !all.empty();) {
        Io& other = all.pop_front();
        if (&other == &io)
            found = true;
        else
            overflow_.push_back(other);
    }
    std::uint32_t next = std::exchange(waiting_head_, kNone);
    while (next != kNone) {
        const std::uint32_t index = std::exchange(next, requests_[next].next);
        if (requests_[index].io == &io) {
            free_request(index);
            found = true;
        } else {
            push_waiting(index);
        }
    }
    return found;
}

// Whether the next call of the kernel begins transfers: it may do so by itself, and be held by a
// drive.
bool Ring::begins_any() const { return waiting_head_ != kNone || io_uring_sq_ready(&ring_) != 0; }

void Ring::reap(IoQueue& queue) {
    {
        const IoQueue::Starting mark(queue, begins_any());
        send_waiting();
        enter_kernel();
    }
    unsigned seen = 0;
    unsigned head;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
        ++seen;
        if (cqe->user_data == kWakeTag) {
            wake_fired();
        } else {
            finish(queue, static_cast<std::uint32_t>(cqe->user_data), cqe->res);
        }
    }
    if (seen != 0) io_uring_cq_advance(&ring_, seen);
    while (free_ != kNone && !overflow_.empty()) {
        Io& io = overflow_.pop_front();
        const IoQueue::Starting mark(queue);
        io.device->start(io, queue);
    }
}

void Ring::wait(IoQueue& queue, std::uint64_t timeout_us) {
    const IoQueue::Starting mark(queue, begins_any());
    send_waiting();
    if (wake_fd_ >= 0) arm_wake();
    // Without the wake armed (the kernel took nothing just now) only a nap is safe.
    if (wake_fd_ >= 0 && !wake_armed_) timeout_us = std::min<std::uint64_t>(timeout_us, 1000);
    __kernel_timespec timeout{static_cast<long long>(timeout_us / 1'000'000),
                              static_cast<long long>(timeout_us % 1'000'000 * 1'000)};
    io_uring_cqe* cqe = nullptr;
    check_entered(io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr));
    if (cqe != nullptr && cqe->user_data == kWakeTag) {
        wake_fired();
        io_uring_cqe_seen(&ring_, cqe);
    }
}

// With DEFER_TASKRUN completions are posted when the owner enters the kernel; a flag tells whether
// that is worth a call.
void Ring::enter_kernel() {
    if (io_uring_sq_ready(&ring_) != 0) {
        check_entered(io_uring_submit_and_get_events(&ring_));
        return;
    }
    const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_ACQUIRE);
    if ((flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
        check_entered(io_uring_get_events(&ring_));
    }
}

void Ring::finish(IoQueue& queue, std::uint32_t index, int result) {
    Io& io = *requests_[index].io;
    --in_kernel_;
    Request& request = requests_[index];
    if (io.kept) {  // whatever came of it, nothing follows
        free_request(index);
        return queue.complete(io, 0);
    }
    // For as long as a drive may take: who watches over transfers sees when this one began.
    if (result < 0 && transient(-result)) {
        push_waiting(index);
        return;
    }
    const bool is_transfer = request.kind == IoKind::read || request.kind == IoKind::write;
    const bool is_short =
        is_transfer && result >= 0 && static_cast<std::uint64_t>(result) != io.bytes;
    // Nothing here cancels: the kernel does where it can't start the thread that a request needs.
    // Of a write that ends early the next try tells why: a full file system, a limit.
    const bool canceled = result == -ECANCELED;
    if (canceled || (is_short && request.kind == IoKind::write)) {
        if (canceled) queue.slow().note(SlowIo::no_kernel_threads, ECANCELED);
        const OpenFile& file = *request.opened;
        free_request(index);
        const IoQueue::Starting mark(queue);
        queue.complete(io, transfer_now(io, file));
        return;
    }
    int error_number = is_short ? EIO : std::max(-result, 0);
    if (error_number == 0 && request.flush_after) {
        request.flush_after = false;
        request.kind = IoKind::flush;
        push_waiting(index);
        return;
    }
    free_request(index);
    // A discard is advice: not every file system and drive takes it.
    if (io.kind == IoKind::discard && error_number == EOPNOTSUPP) error_number = 0;
    queue.complete(io, error_number);
}

std::uint32_t Ring::take_request() {
    const std::uint32_t index = free_;
    free_ = requests_[index].next;
    ++used_;
    return index;
}

void Ring::free_request(std::uint32_t index) {
    requests_[index] = Request{.next = free_};
    free_ = index;
    --used_;
}

void Ring::push_waiting(std::uint32_t index) {
    requests_[index].next = kNone;
    (waiting_head_ == kNone ? waiting_head_ : requests_[waiting_tail_].next) = index;
    waiting_tail_ = index;
}

void Ring::send_waiting() {
    constexpr std::uint32_t kWakes = 1;
    while (waiting_head_ != kNone && in_kernel_ + kWakes < size_.completions) {
        io_uring_sqe* sqe = next_sqe();
        if (sqe == nullptr) return;
        const std::uint32_t index = waiting_head_;
        waiting_head_ = requests_[index].next;
        prepare(*sqe, index);
        ++in_kernel_;
    }
}

io_uring_sqe* Ring::next_sqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe != nullptr) return sqe;
    check_entered(io_uring_submit(&ring_));
    return io_uring_get_sqe(&ring_);
}

void Ring::prepare(io_uring_sqe& sqe, std::uint32_t index) const {
    constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const Request& request = requests_[index];
    const Io& io = *request.io;
    switch (request.kind) {
        case IoKind::read:
        case IoKind::write:
            prepare_transfer(sqe, request);
            break;
        case IoKind::flush:
            io_uring_prep_fsync(&sqe, request.file, IORING_FSYNC_DATASYNC);
            break;
        case IoKind::discard:
            io_uring_prep_fallocate(&sqe, request.file, kPunch, static_cast<off_t>(io.offset),
                                    static_cast<off_t>(io.bytes));
            break;
    }
    if (request.file_is_slot) sqe.flags |= IOSQE_FIXED_FILE;
    sqe.user_data = index;
}

void Ring::prepare_transfer(io_uring_sqe& sqe, const Request& request) const {
    const Io& io = *request.io;
    const auto bytes = static_cast<unsigned>(io.bytes);
    const int region = region_of(io);
    if (io.kind == IoKind::read) {
        if (region >= 0) {
            io_uring_prep_read_fixed(&sqe, request.file, io.data, bytes, io.offset, region);
        } else {
            io_uring_prep_read(&sqe, request.file, io.data, bytes, io.offset);
        }
        return;
    }
    if (!io.parts.empty()) {
        io_uring_prep_writev(&sqe, request.file, io.parts.data(),
                             static_cast<unsigned>(io.parts.size()), io.offset);
    } else if (region >= 0) {
        io_uring_prep_write_fixed(&sqe, request.file, io.data, bytes, io.offset, region);
    } else {
        io_uring_prep_write(&sqe, request.file, io.data, bytes, io.offset);
    }
    if (io.durable && !request.flush_after) sqe.rw_flags = RWF_DSYNC;
}

void Ring::arm_wake() {
    if (wake_armed_) return;
    io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return;
    io_uring_prep_poll_add(sqe, wake_fd_, POLLIN);
    sqe->user_data = kWakeTag;
    wake_armed_ = true;
}

void Ring::wake_fired() {
    wake_armed_ = false;
    eventfd_t count;
    eventfd_read(wake_fd_, &count);
}

}  // namespace qlcshape
