// SPDX-License-Identifier: Apache-2.0
// Keeps a fixed number of requests in flight from one thread: what fio calls a job at iodepth N.
// A Source says what to request next; each completion comes back from the engine's thread over a
// lock-free stack, and the submitting thread sleeps only when it has nothing else to do.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/buffer.h"
#include "qlcshape/volume.h"
#include "tools/stamps.h"

namespace qlcshape::tools {

using Clock = std::chrono::steady_clock;

struct Slot {
    // Filled in by Source::next(); `memory` is the loop's, `buffer_bytes` long.
    Op op = Op::read;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    Stamp stamp = 0;
    std::byte* memory = nullptr;

    // Filled in by the loop.
    Clock::time_point submitted, completed;
    Status status;
    Slot* next = nullptr;
};

class Source {
  public:
    enum class Next {
        request,  // the slot holds one
        wait,     // none until one of those in flight is done; only if there is one
        end,      // no more
    };
    virtual ~Source() = default;
    virtual Next next(Slot& slot) = 0;
    // On the engine's thread, the moment a request has succeeded.
    virtual void acknowledged(Slot&) {}
    // Back on the submitting thread, after success or failure.
    virtual void finished(Slot& slot) = 0;
    // On the submitting thread, some times a second.
    virtual void tick() {}
};

class ClosedLoop {
  public:
    ClosedLoop(const Volume& volume, std::uint32_t depth, std::uint64_t buffer_bytes);

    // Until the source ends and all is done. After a failure nothing new is submitted; returns the
    // first one.
    Status run(Source& source);

  private:
    // Slots on their way back.
    class Returns {
      public:
        void push(Slot* slot);
        Slot* wait();  // a list, at least one
        Slot* take() { return head_.exchange(nullptr); }

      private:
        std::atomic<Slot*> head_ = nullptr;
        std::atomic<bool> sleeping_ = false;
        std::mutex mutex_;
        std::condition_variable wake_;
    };

    Source::Next submit_one();
    Status submit(Slot& slot);
    void complete(Slot& slot, Status status);
    void collect(Slot* list);

    Volume volume_;
    Buffer memory_;
    std::vector<Slot> slots_;
    std::vector<Slot*> free_;
    std::uint32_t in_flight_ = 0;
    Status result_;
    Source* source_ = nullptr;
    std::uint64_t taken_ = 0;  // by the engine, ever
    std::atomic<std::uint64_t> completed_ = 0;
    Returns returns_;
};

}  // namespace qlcshape::tools
