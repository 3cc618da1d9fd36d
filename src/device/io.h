// SPDX-License-Identifier: Apache-2.0
// One transfer between memory and a device, and the queue through which a thread makes transfers.
//
// An IoQueue belongs to one thread. submit() never calls back; completions are delivered from
// poll() alone, in any order. The memory of an Io and of its data stays the caller's and must live
// until `done` was called. Nothing here reorders or merges: a flush covers the writes whose `done`
// was called before the flush was submitted, and no others. A write that is to be durable when it
// is done covers itself alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/fifo.h"
#include "device/in_flight.h"
#include "device/io_clock.h"
#include "device/slow_io.h"
#include "device/transfer.h"

namespace qlcshape {

class Ring;
struct OwnIo;

class IoQueue {
  public:
    // `memory`: regions that most I/O data lies in; see register_memory().
    explicit IoQueue(std::vector<std::span<std::byte>> memory = {});
    // Nothing may be in flight but what waits for a mirror: that is looked at, so its owner goes
    // after the queue. What drives keep stays with them.
    ~IoQueue();
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

    // Before the first transfer. Without it drives may take as long as they like. With it a
    // transfer that takes too long ends in ETIMEDOUT, and its drive is given up; so do all others
    // that are under way there. A blocking call does not end: it holds the thread.
    //
    // `kept`: Io::kept says whether the drive may still use its memory: read into, it must not be
    // used again, and is to be freed as a Buffer is (base/lent.h).
    // `copied`: transfers are made with memory of the queue's, which stays for the drive.
    enum class Late : std::uint8_t { kept, copied };
    void set_clock(IoClock& clock, Late late) {
        clock_ = &clock;
        late_ = late;
    }
    // Any thread. Where the owner has been inside a call of the kernel that begins a transfer for
    // too long, as a blocking one may be: the oldest transfer, with error_number set, for
    // describe_failure().
    std::optional<Io> held_call() const;
    // Any thread. Whether no transfer is in flight, and a number that grows with each that ends.
    bool quiet() const { return begun_.empty(); }
    // Any thread. How many transfers have begun, and whether the first so many have ended for
    // whoever waits for them; what drives keep of them is Device::keeps_any()'s.
    std::uint64_t begun() const { return begun_.added(); }
    bool ended(std::uint64_t first) const { return begun_.ended(first); }
    std::uint64_t ended() const { return ended_.load(std::memory_order_relaxed); }
    // The owner's thread. Whether a drive still has something of it that it no longer waits for.
    bool drives_keep_any() const { return kept_.oldest() != nullptr; }

    // Before the first transfer. A write or flush that a mirror (Device::mirror()) does not take is
    // made again until it is taken, or the drive has left: then it counts as done, since nobody
    // asks the drive any more. It fails if the drive can't leave. A flush, or a write that was to
    // be durable, is not made again: what else the drive dropped would not come back.
    void wait_for_mirrors() { mirrors_ = true; }

    // The owner's thread. As poll(), but nobody is told of what completed.
    void drop();

    // Before the first transfer. The thread makes one transfer at a time: blocking calls in
    // submit() then cost it less than a ring.
    void use_blocking_calls() { ring_refused_ = true; }

    // Before the first transfer. Some transfers at a time, from now one thread, now another: a
    // small ring that no thread owns. Nobody may wake() such a queue. False where the kernel
    // refuses it.
    bool make_shared_ring();

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
    // The owner is inside a call that held_call() tells of, as long as one of these lives.
    class Starting {
      public:
        explicit Starting(IoQueue& queue, bool begins = true) : mark_(queue.starting_) {
            if (begins) mark_.store(true, std::memory_order_relaxed);
        }
        ~Starting() { mark_.store(false, std::memory_order_relaxed); }
        Starting(const Starting&) = delete;
        Starting& operator=(const Starting&) = delete;

      private:
        std::atomic<bool>& mark_;
    };
    // Queues a finished Io for delivery from the next poll(). The owner's thread.
    void complete(Io& io, int error_number);
    // The thread's io_uring, made when a file device first needs it. Null where the kernel has
    // none.
    Ring* ring();

  private:
    void note_outcome(const Io& io);
    void make_ring();
    void leave_foreign_ring();
    void leave_ring();
    void leave_kept();
    void move_time();
    void end_late();
    bool end_late(Io& io);
    void fail_original(Io& io, int error_number);
    void settle(Io& io, int error_number);
    void tell(Fifo<Io> originals);
    void deliver(Io& io);
    void submit_copy(Io& io);
    void begin(Io& io);
    void start(Io& io);
    bool waits_for_mirror(const Io& io) const;
    void look_at_mirrors();

    std::vector<std::span<std::byte>> memory_;
    std::unique_ptr<Ring> ring_;
    bool ring_refused_ = false;
    SlowIoLog slow_;
    Io last_failed_write_;
    std::function<void()> idle_;
    IoClock* clock_ = nullptr;
    Late late_ = Late::kept;
    std::uint64_t given_up_seen_ = 0;  // the clock's count
    // By which transfers are measured: the clock's time, without what passed while nobody polled.
    std::uint64_t time_ = 0;
    std::atomic<std::uint64_t> polled_at_{0};  // by the clock
    InFlight begun_;
    InFlight kept_;  // by drives: nobody waits for them
    Fifo<Io> finished_;
    Fifo<Io> not_taken_;  // by mirrors
    bool mirrors_ = false;
    Fifo<Io> failed_originals_;  // of copies that take too long, or could not be made
    std::atomic<std::uint64_t> ended_{0};
    std::atomic<bool> starting_{false};
    unsigned in_flight_ = 0;
    int wake_fd_ = -1;  // of a queue that has had a ring
    std::atomic<std::uint32_t> sleep_state_{0};
};

// Submits, then polls the queue until each is done. For set-up, recovery and tools, not for shards.
// Returns the first failure. The Ios' `done` and `context` are overwritten.
Status run(IoQueue& queue, std::span<Io> ios);
Status run(IoQueue& queue, Io io);

// All that are there and not out; blocks.
Status flush_drives(std::span<Device* const> drives, IoQueue& queue, PersistencePoint point);

}  // namespace qlcshape
