// SPDX-License-Identifier: Apache-2.0
// What an operator wants to be woken for, and the command that is run for it (Options::on_event).
// Each second's look at the array (monitor.h) is compared with the one before; a thread of its own
// runs the command, one at a time, so a command that hangs holds up nothing but the next one.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/limits.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"

namespace qlcshape {

struct Event {
    std::string name;    // as docs/operations.md lists them
    std::string device;  // its path; empty where it is about none
    std::string message;
};

// `before` without devices: what is so at the opening counts as new.
std::vector<Event> events_between(const Stats& before, const Stats& now);

class EventCommand {
  public:
    static constexpr std::size_t kMostWaiting = 64;  // more are told in the log alone
    static constexpr std::uint64_t kSameSeconds = 60;
    static constexpr int kMostSeconds = 60;     // that the command may take; then it is killed
    static constexpr int kClosingSeconds = 10;  // that closing waits for what is left

    // `options` must outlive it.
    EventCommand(const Options& options, WaitingThreads& threads);
    ~EventCommand();

    // The same one, of the same drive, counts once in kSameSeconds. Any thread.
    void add(const std::string& array, std::vector<Event> events);

  private:
    struct Waiting {
        std::string array;
        Event event;
    };
    void run();
    void carry_out(const Waiting& w);
    bool wait_for(pid_t child);

    const Options& options_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Waiting> waiting_;
    std::map<std::string, std::uint64_t> added_s_;  // when, by name and drive
    bool stop_ = false;
    JobThread thread_;
};

}  // namespace qlcshape
