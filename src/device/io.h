// SPDX-License-Identifier: Apache-2.0
// One transfer between memory and a device, and the queue through which a thread makes transfers.
//
// An IoQueue belongs to one thread. submit() never calls back; completions are delivered from
// poll() alone, in any order. The memory of an Io and of its data stays the caller's and must live
// until `done` was called. Nothing here reorders or merges: a flush covers the writes whose `done`
// was called before the flush was submitted, and no others. A write that is to be durable when it
// is done covers itself alone.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/fifo.h"
#include "device/slow_io.h"

namespace qlcshape {

class Device;
class IoQueue;
class Ring;

enum class IoKind : std::uint8_t { read, write, flush, discard };

const char* to_string(IoKind kind);

// Why something is made persistent: each place that submits a write, flush or discard has a name.
// The simulator counts power cuts by it, and accepts none without.
enum class PersistencePoint : std::uint8_t {
    none,  // reads
    create,
    // under load
    tps_write,
    strip_write,
    strip_flush,
    gc_strip_write,
    gc_strip_flush,
    keeper_write,
    keeper_flush,
    keeper_discard,
    pmt_write_back,
    snapshot_table_flush,
    snapshot_write,
    snapshot_flush,
    // recovering, opening, closing
    open_flush,
    replay_strip_write,
    replay_strip_flush,
    table_build_write,
    table_build_flush,
    table_update_write,
    table_update_flush,
    recovery_snapshot_write,
    recovery_snapshot_flush,
    band_table_write,
    band_table_flush,
    qlc_superblock_discard,
    qlc_superblock_write,
    qlc_superblock_flush,
    scm_superblock_discard,
    scm_superblock_write,
    scm_superblock_flush,
    count,
};

const char* to_string(PersistencePoint point);

struct Io {
    IoKind kind = IoKind::read;
    PersistencePoint point = PersistencePoint::none;
    Device* device = nullptr;
    std::uint64_t offset = 0;   // bytes, a multiple of the device's block
    std::uint64_t bytes = 0;    // a multiple of the device's block; 0 for a flush
    std::byte* data = nullptr;  // aligned to 4096; null for flush, discard and where there are
    std::span<const iovec>
        parts{};                  // of a write: what it gathers, in order; each aligned like data
    bool durable = false;         // of a write: when it is done, whatever cache the device has
    void (*done)(Io&) = nullptr;  // called from IoQueue::poll()
    void* context = nullptr;      // the caller's
    int error_number = 0;  // set before `done`: 0, or a positive errno (a short transfer is EIO)
    std::uint64_t flush_number = 0;  // the queue's, of what empties the cache: see FlushLog

    // Whether the drive's cache has to do with it: a failure may have lost more than its own.
    bool empties_cache() const { return kind == IoKind::flush || durable; }

    // Of a write: calls `take` for each piece of memory in order.
    template <class Take>
    void for_each_part(Take take) const {
        if (parts.empty()) return take(data, bytes);
        for (const iovec& part : parts)
            take(static_cast<const std::byte*>(part.iov_base), std::uint64_t{part.iov_len});
    }
    Io* next = nullptr;  // for whoever holds the Io: the device, then the queue
};

// The failure of a completed Io in words: device, offset, cause, remedy. error_number is not 0.
Error describe_failure(const Io& io);

class IoQueue {
  public:
    // `memory`: regions that most I/O data lies in; see register_memory().
    explicit IoQueue(std::vector<std::span<std::byte>> memory = {});
    ~IoQueue();  // nothing may be in flight
    IoQueue(const IoQueue&) = delete;
    IoQueue& operator=(const IoQueue&) = delete;

    // The owner's thread. Asserts alignment, bounds, that only reads go to a read-only device, and
    // (on guarded devices) the shape of writes.
    void submit(Io& io);

    // The owner's thread. Hands what was submitted to the kernel, delivers what has completed, and
    // returns how many completions were delivered.
    unsigned poll();

    unsigned in_flight() const { return in_flight_; }

    // The owner's thread. Sleeps until a completion is there, wake() is called, or timeout_us
    // passed. A wake() before the call makes it return at once.
    void wait(std::uint64_t timeout_us);

    // Before the first transfer. The thread makes one transfer at a time: blocking calls in
    // submit() then cost it less than a ring.
    void use_blocking_calls() { ring_refused_ = true; }

    // The owner's thread, before its first transfer: registers the queue's memory with the kernel,
    // which saves CPU time. Rings and registered memory share a limit, and rings save more: make
    // those of all threads first.
    void register_memory();

    // The newest write or flush that failed here; error_number is 0 where none did. The owner's
    // thread.
    const Io& last_failed_write() const { return last_failed_write_; }

    // What is slower than it could be. Any thread.
    const SlowIoLog& slow() const { return slow_; }
    SlowIoLog& slow() { return slow_; }

    // Under a simulator: wait() calls this instead of sleeping.
    void set_idle(std::function<void()> idle) { idle_ = std::move(idle); }

    // Any thread. Ends the present or the next wait().
    void wake();

    // --- for devices ---
    // Queues a finished Io for delivery from the next poll(). The owner's thread.
    void complete(Io& io, int error_number);
    // The thread's io_uring, made when a file device first needs it. Null where the kernel has
    // none.
    Ring* ring();

  private:
    void note_outcome(const Io& io);
    void make_ring();
    void leave_foreign_ring();

    std::vector<std::span<std::byte>> memory_;
    std::unique_ptr<Ring> ring_;
    bool ring_refused_ = false;
    SlowIoLog slow_;
    Io last_failed_write_;
    std::function<void()> idle_;
    Fifo<Io> finished_;
    unsigned in_flight_ = 0;
    int wake_fd_ = -1;  // of a queue that has had a ring
    std::atomic<std::uint32_t> sleep_state_{0};
};

// Submits, then polls the queue until each is done. For set-up, recovery and tools, not for shards.
// Returns the first failure. The Ios' `done` and `context` are overwritten.
Status run(IoQueue& queue, std::span<Io> ios);
Status run(IoQueue& queue, Io io);

// All of them; blocks.
Status flush_drives(std::span<Device* const> drives, IoQueue& queue, PersistencePoint point);

}  // namespace qlcshape
