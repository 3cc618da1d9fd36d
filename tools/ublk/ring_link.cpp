// SPDX-License-Identifier: Apache-2.0
#include "tools/ublk/ring_link.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace qlcshape::ublk {

namespace {

std::size_t pages(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return (bytes + page - 1) / page * page;
}

}  // namespace

RingLink::RingLink(int device_fd, std::uint16_t queue, std::uint16_t depth, bool encoded)
    : device_fd_(device_fd), queue_(queue), depth_(depth), encoded_(encoded) {}

RingLink::~RingLink() {
    close();
    if (wake_fd_ >= 0) ::close(wake_fd_);
}

void RingLink::close() {
    if (ring_made_) io_uring_queue_exit(&ring_);
    ring_made_ = false;
    if (descriptions_ != nullptr)
        ::munmap(const_cast<ublksrv_io_desc*>(descriptions_), mapped_bytes_);
    descriptions_ = nullptr;
}

Status RingLink::set_up() {
    const std::size_t stride = pages(UBLK_MAX_QUEUE_DEPTH * sizeof(ublksrv_io_desc));
    mapped_bytes_ = pages(depth_ * sizeof(ublksrv_io_desc));
    void* const mapped =
        ::mmap(nullptr, mapped_bytes_, PROT_READ, MAP_SHARED | MAP_POPULATE, device_fd_,
               static_cast<off_t>(UBLKSRV_CMD_BUF_OFFSET + queue_ * stride));
    if (mapped == MAP_FAILED) {
        return fail(Errc::io_error, "its descriptions can't be mapped: {}", std::strerror(errno));
    }
    descriptions_ = static_cast<const ublksrv_io_desc*>(mapped);
    // As in src/device/ring_setup.cpp; ublk itself came with 6.0.
    int made = -EINVAL;
    for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0U}) {
        io_uring_params params{};
        params.flags = flags | IORING_SETUP_CLAMP;
        made = io_uring_queue_init_params(std::bit_ceil(depth_ + 2U), &ring_, &params);
        if (made != -EINVAL) break;
    }
    ring_made_ = made == 0;
    if (!ring_made_) {
        return fail(Errc::no_memory,
                    "no ring for it: {}; raise the limit of locked memory (ulimit -l), or serve "
                    "fewer volumes",
                    std::strerror(-made));
    }
    wake_fd_ = ::eventfd(0, EFD_CLOEXEC);
    if (wake_fd_ < 0) {
        return fail(Errc::no_memory, "eventfd: {}; raise the limit of open files (ulimit -n)",
                    std::strerror(errno));
    }
    arm_wake();
    return {};
}

const ublksrv_io_desc& RingLink::description(std::uint16_t tag) const { return descriptions_[tag]; }

// Room for all: each slot has one command under way at most.
void RingLink::send(std::uint32_t command, std::uint16_t tag, std::byte* buffer, int result) {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    QS_ASSERT(sqe != nullptr);
    std::memset(static_cast<void*>(sqe), 0, sizeof(*sqe));
    ublksrv_io_cmd words{};
    words.q_id = queue_;
    words.tag = tag;
    words.result = result;
    words.addr = reinterpret_cast<std::uintptr_t>(buffer);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = device_fd_;
    sqe->cmd_op = encoded_ ? encoded(command, false, sizeof(words)) : command;
    sqe->user_data = tag;
    std::memcpy(reinterpret_cast<std::byte*>(sqe) + 48, &words, sizeof(words));
}

void RingLink::fetch(std::uint16_t tag, std::byte* buffer) {
    send(UBLK_IO_FETCH_REQ, tag, buffer, 0);
}

void RingLink::commit(std::uint16_t tag, std::byte* buffer, int result) {
    send(UBLK_IO_COMMIT_AND_FETCH_REQ, tag, buffer, result);
}

void RingLink::arm_wake() {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    QS_ASSERT(sqe != nullptr);
    io_uring_prep_read(sqe, wake_fd_, &woken_, sizeof(woken_), 0);
    sqe->user_data = kWakeTag;
}

void RingLink::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof(one));
}

int RingLink::enter(Wait wait) {
    if (wait == Wait::until_something) return io_uring_submit_and_wait(&ring_, 1);
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec timeout{0, wait == Wait::briefly ? 1'000'000 : 0};
    const int result = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
    return result == -ETIME ? 0 : result;
}

bool RingLink::receive(Wait wait, std::vector<Arrival>& arrivals) {
    const int entered = enter(wait);
    // For a moment the kernel may have no memory, or be interrupted: what it did not take goes with
    // the next call.
    const bool good = entered >= 0 || entered == -EINTR || entered == -EAGAIN ||
                      entered == -EBUSY || entered == -ENOMEM;
    if (entered == -EAGAIN || entered == -ENOMEM) ::usleep(1000);
    io_uring_cqe* cqe = nullptr;
    bool woken = false;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe != nullptr) {
        if (cqe->user_data == kWakeTag)
            woken = true;
        else
            arrivals.push_back({static_cast<std::uint16_t>(cqe->user_data), cqe->res});
        io_uring_cqe_seen(&ring_, cqe);
    }
    if (woken) arm_wake();
    return good;
}

}  // namespace qlcshape::ublk
