// SPDX-License-Identifier: Apache-2.0
// One thread's io_uring. Made by the thread that first needs it, and used by that thread alone:
// that lets the kernel do without locks and finish requests when the thread asks (SINGLE_ISSUER,
// DEFER_TASKRUN; older kernels get the flags they know). A shared one is used by one thread at a
// time, and is small: only for the few transfers of one reader.
//
// What can't go to the kernel yet, because its queues are full or it said "again", waits in a list
// in here, so that the completion queue never overflows.
#pragma once

#include <liburing.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <vector>

#include "device/backing.h"
#include "device/device.h"
#include "device/io.h"

namespace qlcshape {

// An open file descriptor; closed with its last owner. The number stays unique after the
// descriptor was closed and given to another file.
struct OpenFile final : DriveLock {
    explicit OpenFile(int descriptor, Held held = {});
    ~OpenFile() override;
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
    const int fd;
    const std::uint64_t number;
    // Whether the kernel makes a write with RWF_DSYNC durable. Where not, a flush must follow.
    const bool heeds_dsync;
    // It stays open, and locks nothing any more. One thread, once.
    void let_go() const;

  private:
    void mark_left() const override;

    mutable Held held_;  // locks and claims that no ring sees, so that they end at once
};

class Ring {
  public:
    enum class Use : std::uint8_t { one_thread, shared };
    // An errno where the kernel has no io_uring, or refuses it; EOPNOTSUPP: its own is too old.
    // `wake_fd`: -1 where nobody wakes who waits.
    static std::expected<std::unique_ptr<Ring>, int> make(Use use, int wake_fd);
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    // 0, or an errno: transfers work without, too. Before the first transfer.
    int register_memory(std::span<const std::span<std::byte>> memory);

    // Ends in queue.complete() from a later reap(). `file` is open until then.
    void start(Io& io, const std::shared_ptr<const OpenFile>& file);

    // Device::hand_over().
    bool hand_over(Io& io, Io& heir);

    // Hands requests to the kernel, and completed ones to queue.complete().
    void reap(IoQueue& queue);

    // Sleeps until a completion is there, the wake descriptor is readable, or timeout_us passed.
    void wait(IoQueue& queue, std::uint64_t timeout_us);

    bool for_this_thread() const { return use_ == Use::shared || owner_ == thread_number(); }
    bool idle() const { return used_ == 0 && overflow_.empty(); }
    bool memory_registered() const { return !regions_.empty(); }

  private:
    struct Size {
        unsigned submissions, completions;
    };
    static constexpr Size kOfThread{1024, 4096};
    static constexpr Size kShared{8, 16};
    static constexpr unsigned kFileSlots = 256;
    static constexpr std::uint32_t kNone = UINT32_MAX;
    static constexpr std::uint64_t kWakeTag = UINT64_MAX;

    // A request here or in the kernel; its index is the request's tag.
    struct Request {
        Io* io = nullptr;
        const OpenFile* opened = nullptr;
        IoKind kind = IoKind::read;  // what of it is under way
        int file = -1;               // a slot of the file table, or a descriptor
        bool file_is_slot = false;
        bool flush_after = false;  // of a write
        std::uint32_t next = kNone;
    };
    struct FileSlot {
        std::uint64_t number = 0;
        std::weak_ptr<const OpenFile> file;
    };
    struct Region {
        const std::byte* begin;
        std::size_t bytes;
        int index;
    };

    Ring(Use use, int wake_fd) : use_(use), wake_fd_(wake_fd) {}
    // The kernel knows a new thread from one that has ended, which had the same std::thread::id.
    static std::uint64_t thread_number();
    bool begins_any() const;
    int set_up();
    int try_to_enter();
    void register_files();

    bool find_slot(const std::shared_ptr<const OpenFile>& file, int& slot);
    void drop_closed_files();
    int region_of(const Io& io) const;
    std::uint32_t take_request();
    void free_request(std::uint32_t index);
    void push_waiting(std::uint32_t index);
    bool take_waiting(const Io& io);
    void send_waiting();
    io_uring_sqe* next_sqe();
    void prepare(io_uring_sqe& sqe, std::uint32_t index) const;
    void prepare_transfer(io_uring_sqe& sqe, const Request& request) const;
    void finish(IoQueue& queue, std::uint32_t index, int result);
    void arm_wake();
    void wake_fired();
    void enter_kernel();

    const Use use_;
    const Size size_ = use_ == Use::shared ? kShared : kOfThread;
    io_uring ring_{};
    bool ring_made_ = false;
    const int wake_fd_;
    bool wake_armed_ = false;
    const std::uint64_t owner_ = thread_number();
    bool files_registered_ = false;
    std::array<FileSlot, kFileSlots> slots_;
    std::vector<Region> regions_;    // by address
    std::vector<Request> requests_;  // as many as completions that the kernel keeps
    Fifo<Io> overflow_;              // when all are taken
    std::uint32_t free_ = kNone;
    std::uint32_t waiting_head_ = kNone;
    std::uint32_t waiting_tail_ = kNone;
    std::uint32_t used_ = 0;       // requests that have not completed
    std::uint32_t in_kernel_ = 0;  // of them, those with an SQE
};

}  // namespace qlcshape
