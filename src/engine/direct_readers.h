// SPDX-License-Identifier: Apache-2.0
// What threads need that read for themselves: one set for each read under way, made when it is
// first needed. Any thread.
//
// Threads of the program come and go, so nothing is kept for a thread: it takes a set for one read.
// A set has an IoQueue, which only one thread may use at a time, and 128 KiB of memory. Beyond
// kMost the read goes to the shard like any other, so memory is bounded.
#pragma once

#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "base/guarded.h"
#include "device/io.h"
#include "shard/direct_read.h"

namespace qlcshape {

class DirectReaders {
  public:
    static constexpr std::size_t kMost = 64;

    // Null: drives may take as long as they like. `rings`: transfers go through the kernel.
    void set_up(IoClock* clock, bool rings) {
        clock_ = clock;
        rings_ = rings;
    }

    struct Reader {
        explicit Reader(IoClock* clock) {
            if (clock != nullptr) queue.set_clock(*clock, IoQueue::Late::kept);
        }
        IoQueue queue;
        DirectRead direct;
    };

    DirectReaders() {
        readers_.reserve(kMost);
        idle_.reserve(kMost);
        late_.reserve(kMost);
    }
    ~DirectReaders() { clear(); }
    DirectReaders(const DirectReaders&) = delete;
    DirectReaders& operator=(const DirectReaders&) = delete;

    // Null where all are taken, or there is no memory or io_uring for another: a thread in a
    // blocking call could not be told that the drive doesn't answer.
    Reader* take() {
        const Locked lock(mutex_);
        if (idle_.empty()) take_back_late();
        if (idle_.empty()) {
            if (readers_.size() == kMost) return nullptr;
            try {
                auto reader = std::make_unique<Reader>(clock_);
                if (rings_ && !reader->queue.make_shared_ring()) return nullptr;
                readers_.push_back(std::move(reader));
            } catch (const std::bad_alloc&) {
                return nullptr;
            }
            return readers_.back().get();
        }
        Reader* const reader = idle_.back();
        idle_.pop_back();
        return reader;
    }
    // One whose drive keeps a transfer is not used until that has ended.
    void give_back(Reader* reader) {
        const Locked lock(mutex_);
        (reader->direct.late ? late_ : idle_).push_back(reader);
    }
    // What drives have ended of those that are late is known, as far as nobody needed them.
    void look_at_late() {
        const Locked lock(mutex_);
        take_back_late();
    }
    // A transfer in a call of the kernel that holds its thread.
    std::optional<Io> held_call() const {
        const Locked lock(mutex_);
        for (const auto& reader : readers_) {
            if (auto held = reader->queue.held_call()) return held;
        }
        return std::nullopt;
    }
    // To be called when no read is under way.
    void clear() {
        const Locked lock(mutex_);
        idle_.clear();
        late_.clear();
        readers_.clear();
    }
    std::uint64_t memory_bytes() const {
        const Locked lock(mutex_);
        return readers_.size() * (sizeof(Reader) + DirectRead::kMostBlocks * kBlockBytes);
    }

  private:
    void take_back_late() QS_REQUIRES(mutex_) {
        std::erase_if(late_, [this](Reader* reader) QS_REQUIRES(mutex_) {
            reader->queue.poll();
            if (reader->queue.drives_keep_any()) return false;
            reader->direct.late = false;
            idle_.push_back(reader);
            return true;
        });
    }

    IoClock* clock_ = nullptr;
    bool rings_ = false;
    mutable Mutex mutex_;
    std::vector<std::unique_ptr<Reader>> readers_ QS_GUARDED_BY(mutex_);
    // Of those, the ones that nobody uses: free, and those whose drive keeps a transfer.
    std::vector<Reader*> idle_ QS_GUARDED_BY(mutex_), late_ QS_GUARDED_BY(mutex_);
};

}  // namespace qlcshape
