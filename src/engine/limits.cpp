// SPDX-License-Identifier: Apache-2.0
#include "engine/limits.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <string_view>

#include "base/size_text.h"
#include "device/unanswered.h"
#include "engine/offline_queue.h"
#include "pmt/page_cache.h"

namespace qlcshape {

Error no_more_memory(const std::string& what) {
    return {Errc::no_memory, what +
                                 ": out of memory; lower pmt_cache or shards in the array file, or "
                                 "raise the limit (ulimit -v, MemoryMax= of a systemd unit, a "
                                 "container's memory)"};
}

Error no_more_threads(const std::string& what, const std::string& cause) {
    return {Errc::no_memory,
            fmt::format("{}: can't start a thread: {}; raise the limit on threads (ulimit -u, "
                        "TasksMax= of a systemd unit, a container's pids limit), or lower shards "
                        "and gc_threads in the array file",
                        what, cause)};
}

// Linux grants memory that it does not have, and ends the process when it is used: so a cache that
// can't fit is refused here, with numbers.
Status check_cache(const Options& options) {
    const std::uint64_t bytes = options.pmt_cache_bytes;
    const std::uint64_t least = std::uint64_t{options.shards} * PageCache::kSetBytes;
    if (bytes < least) {
        return fail(Errc::invalid_argument,
                    "pmt_cache is {}: it must be at least {} with {} shards", size_text(bytes),
                    at_least_text(least), options.shards);
    }
    struct sysinfo machine {};
    if (::sysinfo(&machine) == 0) {
        const std::uint64_t ram = machine.totalram * machine.mem_unit;
        const std::uint64_t swap = machine.totalswap * machine.mem_unit;
        if (bytes > ram + swap) {
            return fail(Errc::no_memory,
                        "pmt_cache is {}: this machine has {} of RAM and {} of swap; lower it in "
                        "the array file",
                        size_text(bytes), size_text(ram), size_text(swap));
        }
    }
    rlimit space{};
    if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY &&
        bytes > space.rlim_cur) {
        return fail(Errc::no_memory,
                    "pmt_cache is {}: this process is limited to {} of memory (ulimit -v); raise "
                    "that, or lower pmt_cache in the array file",
                    size_text(bytes), size_text(space.rlim_cur));
    }
    return {};
}

bool is_metrics_file(const std::string& path) {
    std::error_code failed;
    if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(path, failed)))
        return false;
    if (std::filesystem::file_size(path, failed) == 0 && !failed) return true;
    std::string begin(std::string_view("# HELP ").size(), ' ');
    std::ifstream file(path, std::ios::binary);
    return file.read(begin.data(), static_cast<std::streamsize>(begin.size())) &&
           begin == "# HELP ";
}

// Only a file that begins like one of ours, or an empty one. A drive never: the array would be
// overwritten by its own statistics.
Status check_metrics(const Options& options) {
    if (options.metrics_path.empty()) return {};
    for (const std::string& path : {options.metrics_path, options.metrics_path + ".new"}) {
        std::error_code failed;
        if (!std::filesystem::exists(std::filesystem::symlink_status(path, failed))) continue;
        const bool drive = std::ranges::any_of(options.devices, [&](const DeviceOptions& device) {
            return std::filesystem::equivalent(path, device.path, failed);
        });
        if (is_metrics_file(path) && !drive) continue;
        return fail(Errc::invalid_argument,
                    "metrics is {}: {} is there and holds something else, which would be "
                    "overwritten; name another file",
                    options.metrics_path, path);
    }
    return {};
}

namespace {

Status check_scrub_days(const Options& options) {
    constexpr std::uint32_t kMost = 3650;
    if (options.scrub_days <= kMost) return {};
    return fail(Errc::invalid_argument,
                "scrub_days is {}: it must be from 0 (only when it is asked to) to {}",
                options.scrub_days, kMost);
}

Status check_spare_after(const Options& options) {
    constexpr std::uint32_t kLeast = 1000, kMost = 3'600'000;
    if (options.spare_after_ms >= kLeast && options.spare_after_ms <= kMost) return {};
    return fail(Errc::invalid_argument, "spare_after_ms is {}: it must be from {} to {}",
                options.spare_after_ms, kLeast, kMost);
}

}  // namespace

Status check_engine_options(const Options& options) {
    QS_TRY(check_cache(options));
    QS_TRY(check_cores(options));
    QS_TRY(check_metrics(options));
    QS_TRY(check_scrub_days(options));
    QS_TRY(check_spare_after(options));
    return check_io_timeout(options);
}

Status check_cores(const Options& options) {
    const auto configured =
        static_cast<std::uint64_t>(std::max(::sysconf(_SC_NPROCESSORS_CONF), 1L));
    const std::uint64_t cores = std::min<std::uint64_t>(configured, CPU_SETSIZE);
    std::set<std::uint32_t> taken;
    for (const std::uint32_t core : options.cores) {
        if (core >= cores) {
            return fail(Errc::invalid_argument,
                        "cores names core {}: this machine has {} (0 to {}); name those, or leave "
                        "cores out of the array file",
                        core, cores, cores - 1);
        }
        if (taken.insert(core).second) continue;
        return fail(Errc::invalid_argument,
                    "cores names core {} twice: give each shard its own, or leave cores out of the "
                    "array file",
                    core);
    }
    return {};
}

// What a part throws must not leave its thread, which would end the process: it is kept and thrown
// in the caller's.
void run_in_threads(std::uint32_t parts, const std::function<void(std::uint32_t)>& job) {
    std::mutex mutex;
    std::exception_ptr thrown;
    const auto guarded = [&](std::uint32_t part) {
        try {
            job(part);
        } catch (...) {
            const std::lock_guard lock(mutex);
            thrown = std::current_exception();
        }
    };
    // Not joined: a thread whose transfer was given up ends when the kernel has ended that.
    const auto done = std::make_shared<std::counting_semaphore<>>(0);
    std::uint32_t started = 1;
    // Fewer threads make it slower, no more: recovery must not fail for want of one.
    try {
        for (; started < parts; ++started) {
            std::thread([&guarded, done, started] {
                guarded(started);
                done->release();
            }).detach();
        }
    } catch (const std::system_error&) {
    }
    const std::uint32_t threads = started - 1;
    guarded(0);
    for (; started < parts; ++started) guarded(started);
    for (std::uint32_t i = 0; i < threads; ++i) done->acquire();
    if (thrown) std::rethrow_exception(thrown);
}

void JobThread::join() {
    ended_->wait();
    were_any_unanswered() ? thread_.detach() : thread_.join();
}

// All or none: those that were started before one is refused get an empty job and end.
WaitingThreads::WaitingThreads(std::uint32_t count) {
    waiting_.reserve(count);
    try {
        while (waiting_.size() < count) {
            Waiting one;
            one.thread = JobThread([job = one.job.get_future()]() mutable {
                if (const std::function<void()> given = job.get()) given();
            });
            waiting_.push_back(std::move(one));
        }
    } catch (...) {
        end_all();
        throw;
    }
}

WaitingThreads::~WaitingThreads() { end_all(); }

void WaitingThreads::end_all() {
    while (!waiting_.empty()) run({}).join();
}

JobThread WaitingThreads::run(std::function<void()> job) {
    Waiting one = std::move(waiting_.back());
    waiting_.pop_back();
    one.job.set_value(std::move(job));
    return std::move(one.thread);
}

}  // namespace qlcshape
