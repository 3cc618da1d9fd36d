// SPDX-License-Identifier: Apache-2.0
// status: reports on an array without opening it; if a process has it open, what that process
// reports.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/file_room.h"
#include "engine/health.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

std::string count(std::uint64_t n) { return count_text(static_cast<double>(n)); }

void print_endurance(const Stats::Endurance& e) {
    say("wear      {:.3f} of {:.0f} cycles", e.cycles_used, e.kRatedCycles);
    if (e.days_left > 0) {
        say("; {:.2f} drive writes a day while open, so {} left", e.drive_writes_per_day,
            long_text(86400 * e.days_left));
    } else if (e.open_seconds < Stats::Endurance::kToldAfterSeconds) {
        say("; too early to tell how long the drives last: open for {} of the first day",
            seconds_text(e.open_seconds));
    }
    say("\n");
}

void print_array(const Stats& s) {
    const auto& b = s.bytes;
    say("{}", state_text(s));
    if (!s.live && s.state == "open") {
        say("          as of its last superblock: a process has it open, but none of this user's "
            "answers\n");
    }
    if (s.state == "crashed") {
        const bool room = std::ranges::none_of(s.file_systems, is_short);
        say("          as of its last superblock: no process has it open; the next opening {} it "
            "{}\n",
            room ? "recovers" : "has to recover",
            s.recovery.kind == "full" ? "from all segment headers (full)"
                                      : "from its newest snapshot");
    }
    say("space     {} writable, {} promised, {} used, {} raw\n", size_text(s.space.writable_bytes),
        size_text(s.space.promised_bytes), size_text(s.space.used_bytes),
        size_text(s.space.raw_bytes));
    say("{}", unused_text(s));
    for (const Stats::FileSystem& system : s.file_systems) {
        if (is_short(system)) say("room      {}\n", shortage(system));
    }
    say("bands     {}: {} free, {} open, {} closed; {} kept in reserve\n", s.bands.total,
        s.bands.free, s.bands.open, s.bands.closed, s.bands.reserve);
    say("user      {} written, {} read, {} trimmed\n", size_text(b.user_written),
        size_text(b.user_read), size_text(b.user_trimmed));
    say("to QLC    {} data, {} GC, {} parity, {} headers, {} padding, {} rebuilt\n",
        size_text(b.qlc_data), size_text(b.qlc_gc), size_text(b.qlc_parity),
        size_text(b.qlc_header), size_text(b.qlc_padding), size_text(b.qlc_rebuild));
    say("to SCM    {} TPS, {} PMT\n", size_text(b.tps_written), size_text(b.pmt_written));
    print_endurance(s.endurance);
    if (s.counters_incomplete) {
        say("          bytes and wear lack what was counted between the last snapshot and {}\n",
            s.live ? "the crash before this opening" : "the crash");
    }
    say("WAF       {:.3f} data, {:.3f} total\n", s.waf_data, s.waf_total);
    say("GC        {} bands, {} blocks moved\n", count(s.gc.bands_moved), count(s.gc.blocks_moved));
    say("PMT       {} hits, {} misses\n", count(s.pmt.hits), count(s.pmt.misses));
    say("errors    {} checksum, {} rebuilt, {} unreadable\n", count(s.errors.verify_failed),
        count(s.errors.reconstructed), count(s.errors.unreadable));
    if (s.live && !s.recovery.kind.empty()) {
        say("recovery  {}, {}, {} segments scanned\n", s.recovery.kind,
            seconds_text(s.recovery.seconds), count(s.recovery.segments_scanned));
    }
    if (!s.io.method.empty()) say("I/O       {}\n", s.io.method);
    for (const std::string& slow : s.io.slow) say("          {}\n", slow);
    if (!s.io.unregistered.empty()) say("          {}\n", s.io.unregistered);
    if (s.scrub.bands_passed != 0 || s.scrub.strips_wrong != 0) {
        say("scrub     {:.2f} passes, {} read, {} strips were not what was written\n",
            s.scrub.passes, size_text(s.scrub.bytes_read), count(s.scrub.strips_wrong));
    }
    say("{}", jobs_text(s));
}

void print_tables(const Stats& s) {
    Table devices({"role", "state", "size", "written", "errors", "device", "uuid"});
    for (const DeviceStatus& device : s.devices) {
        devices.add({device.role, device.state, size_text(device.capacity_bytes),
                     size_text(device.written_bytes), std::to_string(device.errors),
                     device.path.empty() ? "-" : device.path,
                     device.uuid.empty() ? "-" : device.uuid});
    }
    say("\n{}", devices.text());
    for (const DeviceStatus& device : s.devices) {
        if (device.errors != 0) say("  the last error: {}\n", device.last_error);
        if (device.checksum_errors != 0) {
            say("  {}: {} blocks failed their checksum, the last at offset {}\n", device.path,
                device.checksum_errors, device.last_checksum_error_offset);
        }
    }
    if (s.volumes.empty()) {
        say("\n  no volumes\n");
        return;
    }
    Table volumes({"volume", "size", "device", "uuid"});
    for (const VolumeInfo& volume : s.volumes) {
        volumes.add({volume.name, size_text(volume.bytes),
                     volume.device.empty() ? "-" : volume.device, volume.uuid});
    }
    say("\n{}", volumes.text());
}

struct StatusArguments : CommonArguments {
    bool prometheus = false;
    bool exit_code = false;
};

int run_status(const StatusArguments& arguments) {
    const Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return report_error("status", arguments.json, options.error());
    const Result<Stats> stats = Engine::inspect(*options);
    if (!stats) return report_error("status", arguments.json, stats.error());
    if (arguments.prometheus) {
        say("{}", to_prometheus(*stats));
    } else if (arguments.json) {
        Json object = new_object("status");
        add_stats(object, *stats);
        print(object);
    } else {
        print_array(*stats);
        print_tables(*stats);
    }
    return arguments.exit_code && !headline(*stats).empty() ? kFoundProblem : kDone;
}

}  // namespace

void add_status(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<StatusArguments>();
    CLI::App* verb =
        app.add_subcommand("status", "show health, drives, volumes, space, write amplification");
    arguments->add_to(*verb);
    verb->add_flag("--prometheus", arguments->prometheus,
                   "print metrics in the text format of Prometheus")
        ->excludes("--json");
    verb->add_flag("--exit-code", arguments->exit_code,
                   "exit 1 unless health is ok and the array has not crashed");
    verb->callback([arguments, &exit_code] { exit_code = run_status(*arguments); });
}

}  // namespace qlcshape::tools
