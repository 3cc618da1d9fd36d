// SPDX-License-Identifier: Apache-2.0
// A drive as the engine sees it. A Device is shared by all threads; its geometry never changes. I/O
// goes through the calling thread's IoQueue.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/guarded.h"
#include "device/flush_log.h"
#include "device/io.h"
#include "device/refusals.h"
#include "device/remedy.h"
#include "device/shape_guard.h"

namespace qlcshape {

struct Geometry {
    std::uint64_t capacity_bytes = 0;
    std::uint32_t block_bytes = 4096;        // unit of offset and length, 512 or 4096
    std::uint32_t iu_bytes = 4096;           // indirection unit; 4096 if the drive reports none
    std::uint64_t erase_unit_bytes = 0;      // 0 if the drive reports none
    std::uint32_t atomic_write_bytes = 512;  // a write of this size, aligned to it, is never torn
    bool volatile_cache = true;              // writes are durable only after a flush
};

// What keeps others from opening a drive; for transfers that outlive the device.
class DriveLock {
  public:
    virtual ~DriveLock() = default;
    // It ends with the last transfer that the kernel has, not with its last owner here. Any thread.
    void leave_to_kernel() const {
        if (!left_to_kernel_.exchange(true)) mark_left();
    }
    bool left_to_kernel() const { return left_to_kernel_; }

  private:
    virtual void mark_left() const {}

    mutable std::atomic<bool> left_to_kernel_{false};
};

class Device {
  public:
    // `medium`: as medium_of() names it.
    Device(std::string path, Geometry geometry, std::string medium = "")
        : path_(std::move(path)), geometry_(geometry), medium_(std::move(medium)) {}
    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const std::string& path() const { return path_; }
    const Geometry& geometry() const { return geometry_; }
    const std::string& medium() const { return medium_; }

    // For QLC drives: from now on every write must be a full strip at its unit's write position.
    // Before I/O by several threads.
    void guard_shape(std::uint64_t strip_bytes, std::uint64_t unit_bytes) {
        guard_ = std::make_unique<ShapeGuard>(geometry_.capacity_bytes, strip_bytes, unit_bytes);
    }
    ShapeGuard* guard() { return guard_.get(); }

    // From now on nothing may be written, flushed or discarded. Before I/O by several threads.
    void set_read_only() { read_only_ = true; }
    bool read_only() const { return read_only_; }

    FlushLog& flushes() { return flushes_; }

    // Of one opened for inspection: whether a process had it open for writing at that time.
    bool held_elsewhere() const { return held_elsewhere_; }
    void set_held_elsewhere(bool held) { held_elsewhere_ = held; }

    // Transfers that failed since it was opened, and the last one in words. Any thread.
    void count_failure(const Io& io);
    void count_success(const Io& io) {
        if (io.kind != IoKind::read) refusals_.note_success();
        if (in_a_row_.load(std::memory_order_relaxed) != 0)
            in_a_row_.store(0, std::memory_order_relaxed);
        if (silent_.load(std::memory_order_relaxed))
            silent_.store(false, std::memory_order_relaxed);
    }
    std::uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }
    std::string last_failure() const;
    Io last_failed() const;  // error_number is 0 where none did
    // It took no write or flush, or could not read what any drive can (note_silent()), and nothing
    // has succeeded since. A read that failed says little: that place alone may be unreadable.
    bool silent() const { return silent_.load(std::memory_order_relaxed); }
    void note_silent(int error_number) {
        if (!refused_by_system(error_number)) silent_.store(true, std::memory_order_relaxed);
    }
    // The last few transfers all failed: more than an incident. Those that the system refused, as
    // on a full file system, say nothing about the drive.
    bool failing() const { return in_a_row_.load(std::memory_order_relaxed) >= kFailingInARow; }

    // Blocks that came back as something else than was written, and where the last run of them
    // begins. Any thread.
    void count_mismatch(std::uint64_t offset, std::uint64_t blocks) {
        last_mismatch_.store(offset, std::memory_order_relaxed);
        mismatches_.fetch_add(blocks, std::memory_order_relaxed);
    }
    std::uint64_t mismatches() const { return mismatches_.load(std::memory_order_relaxed); }
    std::uint64_t last_mismatch() const { return last_mismatch_.load(std::memory_order_relaxed); }

    // While an array is opened: a write or a flush failed, or the last few transfers did, or it
    // does not answer, or has gone out. The opening is not tried with it again.
    bool unwilling() const { return refusals_.any() || failing() || given_up() || out(); }

    // --- a drive that takes no writes leaves (engine/core_leave.cpp); any thread ---
    // From now on somebody decides about it. Before I/O by several threads.
    void set_watched() { watched_ = true; }
    bool watched() const { return watched_; }
    // Others have each write of this drive, too: one that it does not take waits until it is out
    // (IoQueue::wait_for_mirrors()). Before I/O by several threads.
    void set_mirror() { mirror_ = true; }
    bool mirror() const { return mirror_; }
    // An SCM drive that is to come in gets each write before it counts: one that it does not take
    // is done, and it has missed that.
    void set_coming(bool coming) { coming_.store(coming, std::memory_order_release); }
    bool coming() const { return coming_.load(std::memory_order_acquire); }
    void note_missed() { missed_.store(true, std::memory_order_release); }
    bool missed() const { return missed_.load(std::memory_order_acquire); }
    // The array can't go on without it, or has ended: what waits fails.
    void set_needed() { needed_.store(true, std::memory_order_release); }
    bool needed() const { return needed_.load(std::memory_order_acquire); }
    // It refuses writes, or is leaving, and it is not durable yet that it is out.
    bool leaves() const {
        const Part part = part_.load(std::memory_order_acquire);
        const bool stays = part == Part::in || part == Part::draining;
        return part == Part::leaving || (stays && watched_ && refuses());
    }
    // There is no room to try more often.
    void refuse_writes() { refusals_.enough(); }
    bool takes_columns() const { return part_.load(std::memory_order_acquire) == Part::in; }
    bool refuses() const { return refusals_.too_many() || given_up(); }
    // A QLC drive that comes back (engine/core_return.cpp): it is read and erased, and takes no
    // columns until it is in. One that refuses what it is told does not leave, since it is no
    // member yet.
    void set_returning() { part_.store(Part::returning, std::memory_order_release); }
    bool returning() const { return part_.load(std::memory_order_acquire) == Part::returning; }
    void set_in() { part_.store(Part::in, std::memory_order_release); }
    // A QLC drive that is to become empty (engine/core_drain.cpp): it takes no columns, and those
    // that it has move to other drives.
    void set_draining() { part_.store(Part::draining, std::memory_order_release); }
    bool drains() const { return part_.load(std::memory_order_acquire) == Part::draining; }
    void set_leaving() { part_.store(Part::leaving, std::memory_order_release); }
    // It gets no more transfers: they end in ENODEV, and count nowhere.
    void set_out() { part_.store(Part::out, std::memory_order_release); }
    bool out() const { return part_.load(std::memory_order_acquire) == Part::out; }

    // Whether its transfers go through the kernel, so that rings help.
    virtual bool wants_ring() const { return false; }

    // It kept a transfer for too long: it gets no more of them. Any thread.
    void give_up(const Io& late);
    bool given_up() const { return given_up_.load(std::memory_order_relaxed); }

    // Begins the transfer; IoQueue::submit() calls it after the checks. Ends in queue.complete(io).
    virtual void start(Io& io, IoQueue& queue) = 0;
    // Of one under way in this queue: it will end in queue.complete(heir). False if it had not
    // begun, and never will. The queue's thread.
    virtual bool hand_over(Io& io, Io& heir, IoQueue& queue);
    virtual std::shared_ptr<const DriveLock> lock() const { return nullptr; }
    // Whether it may still carry out a transfer that nobody waits for any more.
    bool keeps_any() const;

    // Of one that is out, of which nothing is under way: whoever wants to may open it.
    void let_go() {
        release();
        let_go_.store(true, std::memory_order_release);
    }
    bool is_let_go() const { return let_go_.load(std::memory_order_acquire); }

  private:
    virtual void release() {}

    enum class Part : std::uint8_t { in, draining, leaving, out, returning };

    std::string path_;
    Geometry geometry_;
    std::string medium_;
    std::unique_ptr<ShapeGuard> guard_;
    bool read_only_ = false;
    FlushLog flushes_;
    bool held_elsewhere_ = false;
    std::atomic<bool> given_up_{false};
    bool watched_ = false;
    bool mirror_ = false;
    std::atomic<bool> coming_{false};
    std::atomic<bool> missed_{false};
    std::atomic<bool> needed_{false};
    std::atomic<Part> part_{Part::in};
    std::atomic<bool> let_go_{false};
    Refusals refusals_;
    std::atomic<std::uint64_t> failures_{0};
    static constexpr std::uint32_t kFailingInARow = 3;
    std::atomic<std::uint32_t> in_a_row_{0};
    std::atomic<bool> silent_{false};
    std::atomic<std::uint64_t> mismatches_{0};
    std::atomic<std::uint64_t> last_mismatch_{0};
    mutable Mutex failure_mutex_;
    Io last_failure_ QS_GUARDED_BY(failure_mutex_);  // its data is the caller's, and gone
};

enum class Access {
    read_write,  // exclusive: a second opener gets Errc::busy
    read_only,   // excludes writers; needs no write permission
    inspect,     // reads alongside a running engine; what it sees may be changing
};

// Opens `path`: a regular file, a block device, or "memory:NAME", which lives as long as the
// process and is found again under its name. Read-only but for Access::read_write. `size_bytes` is
// required for files and memory that don't exist yet: they are created sparse at that size if
// `make` is set. 0: the size it has.
Result<std::unique_ptr<Device>> open_device(const std::string& path, std::uint64_t size_bytes,
                                            Access access, bool make);

// Drops the memory device of that name ("memory:NAME"), so that the next open makes an empty one.
void forget_memory_device(const std::string& path);

}  // namespace qlcshape
