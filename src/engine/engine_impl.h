// SPDX-License-Identifier: Apache-2.0
// The engine behind the public handle: a core, and a thread for each of its workers.
//
//   qs-shardN, qs-gcN   run(): poll a worker, sleep when nothing happens
//   qs-watch            looks whether drives answer and workers move; paces the scrub (watch.h)
//   qs-drives           decides about drives that take no writes (watch.h)
//   qs-returns          brings drives back that were out (returns.h), or has a spare take the
//                       place of one (spares.h)
//   qs-monitor          log and metrics, once a second (monitor.h)
//   qs-events           the command for events, where there is one (events.h)
//   qs-reclaim          space of deleted volumes (reclaimer.h)
//   qs-control          other processes (control.h)
//
// close() and calls from any thread: a call counts itself in calls_ and then looks at closing_;
// close() sets closing_ and then waits for calls_ to be 0. So each call either is refused or ends
// before anything that it uses goes. Requests have the same with Core's in_flight_.
//
// Where a thread is held inside the kernel by a drive, close() gives up: the Impl stays, with all
// its memory, as long as the process (base/kept.h), since the drive may still write to it.
//
// Ends in this order: reclaimer (it submits requests), then the core's phases, then control,
// reclaimer, monitor, returns, drives and watch, then workers' threads, then the last superblock.
#pragma once

#include <atomic>
#include <cstddef>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/control.h"
#include "engine/core.h"
#include "engine/monitor.h"
#include "engine/offline_queue.h"
#include "engine/reclaimer.h"
#include "engine/watch.h"
#include "qlcshape/engine.h"

namespace qlcshape {

class Engine::Impl {
  public:
    static Result<std::unique_ptr<Impl>> open(const Options& options);
    ~Impl() { static_cast<void>(close_once()); }

    Status close();
    Status create_volume(const std::string& name, std::uint64_t bytes);
    Core& core() { return *core_; }
    Status resize_volume(const std::string& name, std::uint64_t bytes, Loss loss);
    Status delete_volume(const std::string& name, Loss loss);
    Status finish_deletions();
    Result<bool> holds_data(const std::string& name, std::uint64_t from_bytes);
    std::vector<VolumeInfo> volumes();
    Result<Volume> open_volume(const std::string& name);
    Result<Replaced> replace(const std::string& old, const DeviceOptions& fresh, bool force);
    Result<Replaced> fail_device(const std::string& device);
    Result<Replaced> drain_device(const std::string& device, bool stop);
    Result<Replaced> remove_device(const std::string& device);
    // As Core's. What comes of it, and whether it got so far that something was written.
    std::vector<std::string> paths_to_return();
    Status bring_back(std::unique_ptr<Device> device, bool& begun);
    Status use_spare(const std::string& lost, std::unique_ptr<Device> spare);
    Status start_scrub(std::uint64_t bytes_per_second);
    Status stop_scrub();
    Stats stats();
    bool read_only() const { return core_->read_only(); }
    // Closes it. Stays as it is where closing gave up, since a thread is held inside the kernel.
    static void end(std::unique_ptr<Impl> impl);

  private:
    static void nap() { std::this_thread::sleep_for(std::chrono::microseconds(100)); }
    // A call under way, which close() waits for; null when it has begun to close.
    struct Leave {
        void operator()(Impl* impl) const { impl->calls_.fetch_sub(1); }
    };
    using Call = std::unique_ptr<Impl, Leave>;
    Call enter();
    void look_at_drives();
    Result<MemberRecord> end_replacing();
    // Why a call that may wait can't be made: the thread, or the time.
    Status admit(const Call& call, const char* what) const;

    explicit Impl(const Options& options);
    Status close_once();
    Status close_now();
    // What the workers' threads do before they run, each step when all have done the one before.
    struct Start {
        explicit Start(std::size_t threads)
            : rings(static_cast<std::ptrdiff_t>(threads)),
              ready(static_cast<std::ptrdiff_t>(threads)) {}
        std::latch rings, ready;
    };
    void begin_watching(WaitingThreads& threads);
    void prepare(Worker& worker, Start& start);
    void run(Worker& worker);
    void pin(JobThread& thread, const Worker& worker, std::uint32_t index);

    Options options_;
    SystemClock clock_;
    Random random_;
    IoClock io_clock_;
    std::shared_ptr<Core> core_;  // shared with volumes, which may outlive the engine
    std::vector<JobThread> threads_;
    std::unique_ptr<Watch> watch_, drives_, returns_;
    std::unique_ptr<Monitor> monitor_;
    std::unique_ptr<Reclaimer> reclaimer_;
    std::unique_ptr<Control> control_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint32_t> calls_{0};
    std::atomic<bool> closing_{false};
    std::mutex close_mutex_;
    bool closed_ = false;
    std::atomic<bool> abandoned_{false};
    Status close_status_;
};

// Error invalid_argument in a function that the engine calls: who waits there waits for itself.
Status refuse_in_callback(const char* what);

// Submits and waits; while the engine is at its limit it tries again.
Status submit_and_wait(Core& core, VolumeState& volume, Op op, std::uint64_t offset,
                       std::uint64_t bytes, void* data);

}  // namespace qlcshape
