// SPDX-License-Identifier: Apache-2.0
#include "engine/monitor.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>

#include "device/remedy.h"
#include "engine/core.h"
#include "engine/health.h"
#include "engine/limits.h"

namespace qlcshape {

namespace {

constexpr std::chrono::seconds kReportInterval(1);

// The same drive, or one that nothing is known of where another has taken its place.
DeviceStatus same_before(const Stats& before, const DeviceStatus& drive) {
    const auto same = std::ranges::find(before.devices, drive.uuid, &DeviceStatus::uuid);
    return same == before.devices.end() ? DeviceStatus{} : *same;
}

// "; of qlc1.img 3, the last at offset 8192"
std::string where_mismatched(const Stats& before, const Stats& now) {
    std::string text;
    for (const DeviceStatus& d : now.devices) {
        const auto wrong_before = same_before(before, d).checksum_errors;
        const auto wrong = d.checksum_errors - std::min(wrong_before, d.checksum_errors);
        if (wrong != 0)
            text += fmt::format("; of {} {}, the last at offset {}", d.path, wrong,
                                d.last_checksum_error_offset);
    }
    return text;
}

void log_drive(const Options& options, const DeviceStatus& before, const DeviceStatus& now) {
    if (now.errors <= before.errors) return;  // one that came back begins at 0
    log(options, LogLevel::error, "{} drive {} ({}): {} transfers failed, the last: {}", now.role,
        now.index, now.uuid, now.errors - before.errors, now.last_error);
}

}  // namespace

namespace {

// What was not there before.
void log_slow_io(const Options& options, const Stats& before, const Stats& now) {
    for (const std::string& slow : now.io.slow) {
        if (std::ranges::find(before.io.slow, slow) != before.io.slow.end()) continue;
        log(options, LogLevel::warning, "array {}: {}", now.array_name, slow);
    }
    if (now.io.unregistered != before.io.unregistered)
        log(options, LogLevel::info, "array {}: {}", now.array_name, now.io.unregistered);
}

}  // namespace

void log_once(const Options& options, std::string& told, const std::string& what) {
    if (told == what) return;
    told = what;
    log(options, LogLevel::warning, "{}", what);
}

void log_opened(const Options& options, const Stats& s) {
    if (s.recovery.kind == "clean") {
        log(options, LogLevel::info, "array {}: opened, epoch {}", s.array_name, s.epoch);
    } else {
        log(options, LogLevel::warning,
            "array {}: opened, epoch {}; it had not been closed cleanly, and was recovered ({}) "
            "in {:.2f} s: {} segments, {} TPS records",
            s.array_name, s.epoch, s.recovery.kind, s.recovery.seconds, s.recovery.segments_scanned,
            s.recovery.tps_records);
    }
    if (s.recovery.segments_unread != 0) {
        log(options, LogLevel::error,
            "array {}: {} bands were cut short because too many of their drives did not answer: "
            "acknowledged writes may be missing, and blocks read as before them; reconnect the "
            "drives",
            s.array_name, s.recovery.segments_unread);
    }
    if (const std::string what = headline(s); !what.empty()) {
        log(options, LogLevel::warning, "array {}: {}", s.array_name, what);
    } else if (s.read_only) {
        log(options, LogLevel::info, "array {}: open read-only", s.array_name);
    }
    log_slow_io(options, {}, s);
}

// Differences of counters, so each event is logged once, in the next look after it.
void log_changes(const Options& options, const Stats& before, const Stats& now) {
    for (const DeviceStatus& d : now.devices) log_drive(options, same_before(before, d), d);
    if (const auto retries = now.errors.commit_retries - before.errors.commit_retries;
        retries != 0) {
        const bool refused = std::ranges::any_of(now.devices, [&before](const DeviceStatus& d) {
            return d.errors != same_before(before, d).errors;
        });
        log(options, refused ? LogLevel::warning : LogLevel::info,
            "array {}: {} segments are written again in other bands because a drive {}",
            now.array_name, retries, refused ? "did not take them" : "goes, or is drained");
    }
    const auto failed = now.errors.verify_failed - before.errors.verify_failed;
    const auto rebuilt = now.errors.reconstructed - before.errors.reconstructed;
    const auto unreadable = now.errors.unreadable - before.errors.unreadable;
    // With drives missing every read is rebuilt, which was told when the array was opened.
    if (failed != 0) {
        log(options, LogLevel::warning,
            "array {}: {} blocks failed their checksum{}; {} rebuilt from the other drives",
            now.array_name, failed, where_mismatched(before, now), rebuilt);
    }
    if (const auto found = now.scrub.strips_wrong - before.scrub.strips_wrong; found != 0) {
        log(options, LogLevel::warning,
            "array {}: the scrub found {} strips that are not what was written{}; their bands are "
            "rewritten",
            now.array_name, found, where_mismatched(before, now));
    }
    if (now.scrub.bands_not_mended > before.scrub.bands_not_mended) {
        log(options, LogLevel::error,
            "array {}: in {} bands more is damaged than can be rebuilt now: they are left as they "
            "are; {}",
            now.array_name, now.scrub.bands_not_mended, remedy_of_loss(now));
    }
    if (unreadable != 0) {
        log(options, LogLevel::error, "array {}: {} blocks can't be read or rebuilt; {}",
            now.array_name, unreadable, remedy_of_loss(now));
    }
    if (now.bands.out_of_use > before.bands.out_of_use) {
        log(options, LogLevel::error,
            "array {}: {} more bands are out of use because parts of them can't be read or a drive "
            "failed to erase them; {}",
            now.array_name, now.bands.out_of_use - before.bands.out_of_use, remedy_of_loss(now));
    }
    log_slow_io(options, before, now);
    if (now.state == "failed" && before.state != "failed") {
        log(options, LogLevel::error,
            "array {}: writing has ended {}; everything acknowledged is safe; {}", now.array_name,
            now.cause, now.remedy);
    }
}

std::uint32_t Monitor::threads(const Options& options) {
    const bool tells = !options.on_event.empty();
    return (options.log || !options.metrics_path.empty() || tells ? 1 : 0) + (tells ? 1 : 0);
}

Monitor::Monitor(const Options& options, const Core& core, Stats opened, WaitingThreads& waiting)
    : options_(options), core_(core), last_(std::move(opened)) {
    if (threads(options_) == 0) return;
    limited_.log = [this](LogLevel level, const std::string& message) {
        print(repeats_.see(level, message, steady_seconds()));
    };
    write_metrics();
    if (!options_.on_event.empty()) {
        events_ = std::make_unique<EventCommand>(options_, waiting);
        events_->add(last_.array_name, events_between({}, last_));
    }
    thread_ = waiting.run([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "qs-monitor");
}

// The last look logs what came since the thread's. A metrics file that stayed would report a closed
// array as open for ever.
Monitor::~Monitor() {
    if (!thread_.joinable()) return;
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    stopping_.notify_one();
    thread_.join();
    with_memory([this] {
        look();
        print(repeats_.rest(steady_seconds()));
    });
    if (!options_.metrics_path.empty()) std::remove(options_.metrics_path.c_str());
}

void Monitor::print(const std::vector<LogLine>& lines) const {
    for (const LogLine& line : lines) log(options_, line.level, "{}", line.text);
}

void Monitor::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_.wait_for(lock, kReportInterval, [this] { return stop_; }))
        with_memory([this] { look(); });
}

void Monitor::look() {
    Stats now = core_.stats();
    if (options_.log) log_changes(limited_, last_, now);
    print(repeats_.look(steady_seconds()));
    if (events_) events_->add(now.array_name, events_between(last_, now));
    last_ = std::move(now);
    write_metrics();
}

// A reader sees the file whole: it is written under another name, then renamed. That it can't be
// written is logged once, and is no reason to stop.
void Monitor::write_metrics() {
    if (options_.metrics_path.empty()) return;
    const std::string fresh = options_.metrics_path + ".new";
    int failed = write_file(fresh);
    if (failed == 0 && std::rename(fresh.c_str(), options_.metrics_path.c_str()) != 0)
        failed = errno;
    if (failed != 0 && !metrics_failed_) {
        log(options_, LogLevel::warning, "{}: the metrics can't be written: {}", fresh,
            failed == EEXIST
                ? "something else is there now; name another file"
                : fmt::format("{}; {}", std::strerror(failed), remedy_of(failed, fresh)));
    }
    metrics_failed_ = failed != 0;
}

// 0 or an errno. Never into a file that is there, nor through a link: what a process left there
// that was killed is removed first.
int Monitor::write_file(const std::string& path) const {
    const std::string text = to_prometheus(last_);
    if (is_metrics_file(path)) ::unlink(path.c_str());
    constexpr mode_t kMode = 0644;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
    if (fd < 0) return errno;
    std::FILE* const file = ::fdopen(fd, "w");
    if (file == nullptr) {
        ::close(fd);
        return errno;
    }
    const bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    const int failed = good ? 0 : errno;
    return std::fclose(file) == 0 || failed != 0 ? failed : errno;
}

}  // namespace qlcshape
