// SPDX-License-Identifier: Apache-2.0
// What the system may refuse while an array is made or opened: memory and threads. The library
// throws nothing, so what the standard library throws then ends here, as an Error that names the
// limit.
//
// Options that can't fit are refused before a device is opened, and an opening takes its threads
// before anything is written (WaitingThreads). Where memory runs out later, the array is as after
// a crash at that point, and the next opening recovers it.
#pragma once

#include <exception>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "qlcshape/options.h"

namespace qlcshape {

Error no_more_memory(const std::string& what);
Error no_more_threads(const std::string& what, const std::string& cause);

// What `call` returns, a Result or a Status.
template <class Call>
auto within_limits(const std::string& what, const Call& call) -> decltype(call()) {
    try {
        return call();
    } catch (const std::bad_alloc&) {
        return std::unexpected(no_more_memory(what));
    } catch (const std::length_error&) {
        return std::unexpected(no_more_memory(what));
    } catch (const std::system_error& error) {
        return std::unexpected(no_more_threads(what, error.what()));
    }
}

// What `call` returns; of an error for whose words there is no memory the code.
template <class Call>
auto in_words(Errc code, const Call& call) -> decltype(call()) {
    try {
        return call();
    } catch (const std::bad_alloc&) {
        return std::unexpected(Error{code, "out of memory"});  // short enough to need none
    }
}

// What `call` returns; an empty one where there is no memory, of what has no place for an error.
template <class Call>
auto or_empty(const Call& call) -> decltype(call()) {
    try {
        return call();
    } catch (const std::bad_alloc&) {
        return {};
    }
}

// For a thread that can do it again later, as the monitor's next look or the next client. Threads
// that serve requests have Worker::broken() instead, since their work is left half done. False:
// there was no memory.
template <class Call>
bool with_memory(const Call& call) {
    try {
        call();
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

// Refuses a cache that no opening could take: too small for its shards, or larger than the memory
// of this machine or of this process.
Status check_cache(const Options& options);

// Refuses cores that this machine has not, and two shards on one.
Status check_cores(const Options& options);

// Whether a file that is there is one of metrics, or a whole or empty beginning of one.
bool is_metrics_file(const std::string& path);

// Refuses a metrics file that is there and is none: each second it would be replaced, and in the
// end removed. Its name with ".new" behind it, under which it is written, likewise.
Status check_metrics(const Options& options);

// All of these, and the rest of what no opening could take.
Status check_engine_options(const Options& options);

// Parts 1 and up on threads of their own, part 0 on the caller's; where there are no more threads
// the caller does the rest. What one throws is thrown here when all have ended.
void run_in_threads(std::uint32_t parts, const std::function<void(std::uint32_t)>& job);

// A thread of which the end of its job is waited for. The kernel holds one that has a transfer
// which a drive keeps: where a drive was given up, nobody waits for that.
class JobThread {
  public:
    JobThread() = default;
    // Throws std::system_error.
    template <class Job>
    explicit JobThread(Job job)
        : ended_(std::make_shared<std::latch>(1)),
          thread_([job = std::move(job), ended = ended_]() mutable {
              job();
              ended->count_down();
          }) {}
    bool joinable() const { return thread_.joinable(); }
    std::thread::native_handle_type native_handle() { return thread_.native_handle(); }
    void join();

  private:
    std::shared_ptr<std::latch> ended_;
    std::thread thread_;
};

// Threads that wait for what they are to run: taken before an opening begins, so that a limit on
// threads stops it before anything is written.
class WaitingThreads {
  public:
    explicit WaitingThreads(std::uint32_t count);  // throws std::system_error
    ~WaitingThreads();                             // those that got nothing end
    WaitingThreads(const WaitingThreads&) = delete;
    WaitingThreads& operator=(const WaitingThreads&) = delete;

    JobThread run(std::function<void()> job);

  private:
    void end_all();

    struct Waiting {
        std::promise<std::function<void()>> job;
        JobThread thread;
    };
    std::vector<Waiting> waiting_;
};

}  // namespace qlcshape
