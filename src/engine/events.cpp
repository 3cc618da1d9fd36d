// SPDX-License-Identifier: Apache-2.0
#include "engine/events.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include "base/repeats.h"
#include "engine/monitor.h"

extern char** environ;

namespace qlcshape {

namespace {

std::string drive_text(const DeviceStatus& d) {
    const std::string path = d.path.empty() ? "" : " (" + d.path + ")";
    return d.role == "spare" ? "spare" + path : fmt::format("{} drive {}{}", d.role, d.index, path);
}

bool serves(const DeviceStatus& d) { return d.serves() || d.state == "spare"; }

// Drives are known by UUID, spares by path. One that was not known before is new in the array; at
// an opening nothing was.
void add_drive(const Stats& before, const DeviceStatus& d, std::vector<Event>& events) {
    const bool spare = d.role == "spare";
    const auto same = std::ranges::find_if(before.devices, [&](const DeviceStatus& b) {
        return spare ? b.role == d.role && b.path == d.path : b.uuid == d.uuid;
    });
    const bool known = same != before.devices.end(), served = !known || serves(*same);
    if (d.state == "removed") return;  // an operator did it
    if (served && !serves(d)) {
        const std::string why = d.last_error.empty() ? "" : ": " + d.last_error;
        events.push_back({spare ? "spare_lost" : "drive_lost", d.path,
                          fmt::format("{} is {}{}", drive_text(d), d.state, why)});
    } else if (!served && serves(d) && !spare) {
        events.push_back({"drive_back", d.path, drive_text(d) + " is in again"});
    } else if (!known && !before.devices.empty() && !spare) {
        events.push_back(
            {"drive_replaced", d.path, drive_text(d) + " has taken the place of another"});
    }
}

bool lacks_parity(const Stats& s) { return s.protection.none + s.protection.one != 0; }

}  // namespace

std::vector<Event> events_between(const Stats& before, const Stats& now) {
    std::vector<Event> events;
    for (const DeviceStatus& d : now.devices) add_drive(before, d, events);
    if (lacks_parity(before) && !lacks_parity(now))
        events.push_back({"rebuild_done", "", "all bands have all their parity again"});
    const std::uint64_t damaged = now.errors.verify_failed - before.errors.verify_failed +
                                  now.scrub.strips_wrong - before.scrub.strips_wrong;
    if (damaged != 0) {
        events.push_back({"damage_found", "",
                          fmt::format("{} blocks or strips were not what was written; they are "
                                      "rebuilt from the other drives",
                                      damaged)});
    }
    if (now.errors.unreadable > before.errors.unreadable ||
        now.scrub.bands_not_mended > before.scrub.bands_not_mended) {
        events.push_back({"data_unreadable", "", "there are blocks that can't be read or rebuilt"});
    }
    if (now.state == "failed" && before.state != "failed")
        events.push_back({"writing_ended", "", fmt::format("{}; {}", now.cause, now.remedy)});
    return events;
}

EventCommand::EventCommand(const Options& options, WaitingThreads& threads) : options_(options) {
    thread_ = threads.run([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "qs-events");
}

EventCommand::~EventCommand() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void EventCommand::add(const std::string& array, std::vector<Event> events) {
    if (events.empty()) return;
    const std::uint64_t now = steady_seconds();
    const std::lock_guard lock(mutex_);
    for (Event& e : events) {
        const auto [at, first] = added_s_.try_emplace(e.name + " " + e.device, now);
        if (!first && now - at->second < kSameSeconds) continue;
        at->second = now;
        if (waiting_.size() < kMostWaiting) waiting_.push_back({array, std::move(e)});
    }
    changed_.notify_all();
}

// One after the other. While closing what is left still has its turn, but not for ever.
void EventCommand::run() {
    std::unique_lock lock(mutex_);
    std::uint64_t closing_s = 0;
    for (;;) {
        changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        if (stop_ && closing_s == 0) closing_s = steady_seconds();
        if (stop_ && steady_seconds() - closing_s >= kClosingSeconds) return;
        const Waiting next = std::move(waiting_.front());
        waiting_.pop_front();
        lock.unlock();
        with_memory([&] { carry_out(next); });
        lock.lock();
    }
}

// The child has a process group of its own, so that it can be killed with its children, and none of
// the signals that this thread has blocked. Drives' descriptors are closed by O_CLOEXEC: a child
// that outlived this process would keep their locks.
void EventCommand::carry_out(const Waiting& w) {
    std::vector<std::string> variables{
        "QLCSHAPE_EVENT=" + w.event.name, "QLCSHAPE_ARRAY=" + w.array,
        "QLCSHAPE_DEVICE=" + w.event.device, "QLCSHAPE_MESSAGE=" + w.event.message};
    std::vector<char*> environment;
    for (char** v = environ; *v != nullptr; ++v) {
        if (std::strncmp(*v, "QLCSHAPE_", 9) != 0) environment.push_back(*v);
    }
    for (std::string& v : variables) environment.push_back(v.data());
    environment.push_back(nullptr);
    std::string shell = "sh", option = "-c", command = options_.on_event;
    char* const words[] = {shell.data(), option.data(), command.data(), nullptr};
    posix_spawnattr_t how;
    posix_spawnattr_init(&how);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    pid_t child = 0;
    const int failed = ::posix_spawn(&child, "/bin/sh", &files, &how, words, environment.data());
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (failed != 0) {
        log(options_, LogLevel::warning, "on_event: {}: the command can't be run: {}", w.event.name,
            std::strerror(failed));
    } else if (!wait_for(child)) {
        log(options_, LogLevel::warning,
            "on_event: {}: the command failed, or took too long ({} s, or {} s while closing) and "
            "was killed: {}",
            w.event.name, kMostSeconds, kClosingSeconds, options_.on_event);
    }
}

// Whether it succeeded, as far as that can be known: a program may have its children reaped. One
// whose time is over is killed, with all that it started.
bool EventCommand::wait_for(pid_t child) {
    using namespace std::chrono;
    const auto begun = steady_clock::now();
    std::optional<steady_clock::time_point> closing;
    for (;;) {
        int status = 0;
        const pid_t ended = ::waitpid(child, &status, WNOHANG);
        if (ended == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (ended < 0 && errno != EINTR) return true;
        std::unique_lock lock(mutex_);
        if (stop_ && !closing) closing = steady_clock::now();
        const auto now = steady_clock::now();
        if (now - begun > seconds(kMostSeconds)) break;
        if (closing && now - *closing > seconds(kClosingSeconds)) break;
        lock.unlock();
        std::this_thread::sleep_for(milliseconds(20));
    }
    ::kill(-child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return false;
}

}  // namespace qlcshape
