// SPDX-License-Identifier: Apache-2.0
// Looks at an open array once a second, on a thread of its own: logs what has changed (drives that
// failed, blocks that were damaged), has the command for events run, and writes the metrics file.
// So nothing on the path of a request does either: a log function that is slow delays no request,
// and a drive that fails a million times gives one line a second.
#pragma once

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/callback.h"
#include "base/printable.h"
#include "base/repeats.h"
#include "engine/events.h"
#include "engine/limits.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"

namespace qlcshape {

class Core;
class WaitingThreads;

template <class... Arguments>
void log(const Options& options, LogLevel level, fmt::format_string<Arguments...> format,
         Arguments&&... arguments) {
    if (!options.log) return;
    const std::string text = printable(fmt::format(format, std::forward<Arguments>(arguments)...));
    const InCallback mark;
    options.log(level, text);
}

// Unless it is what was told last.
void log_once(const Options& options, std::string& told, const std::string& what);

// How an array was opened.
void log_opened(const Options& options, const Stats& stats);

// What went wrong between two looks.
void log_changes(const Options& options, const Stats& before, const Stats& now);

class Monitor {
  public:
    // How many it needs.
    static std::uint32_t threads(const Options& options);

    // Both must outlive it. `opened`: what is in the log already.
    Monitor(const Options& options, const Core& core, Stats opened, WaitingThreads& waiting);
    ~Monitor();  // after a last look

  private:
    void run();
    void look();
    void print(const std::vector<LogLine>& lines) const;
    void write_metrics();
    int write_file(const std::string& path) const;

    Repeats repeats_;  // a drive that fails does so at each look
    const Options& options_;
    Options limited_;  // with a log that leaves out what `repeats_` does
    const Core& core_;
    Stats last_;
    std::unique_ptr<EventCommand> events_;
    bool metrics_failed_ = false;
    std::mutex mutex_;
    std::condition_variable stopping_;
    bool stop_ = false;
    JobThread thread_;
};

}  // namespace qlcshape
