// SPDX-License-Identifier: Apache-2.0
#include "tools/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "engine/health.h"
#include "tools/tell.h"
#include "tools/units.h"

namespace qlcshape::tools {

namespace {

template <class T>
Json to_array(const std::vector<T>& items, Json (*one)(const T&)) {
    Json array = Json::array();
    for (const T& item : items) array.push_back(one(item));
    return array;
}

Json device_json(const DeviceStatus& device) {
    return {{"uuid", device.uuid},
            {"path", device.path},
            {"role", device.role},
            {"index", device.index},
            {"state", device.state},
            {"errors", device.errors},
            {"last_error", device.last_error},
            {"failing", device.failing},
            {"bands", device.bands},
            {"checksum_errors", device.checksum_errors},
            {"last_checksum_error_offset", device.last_checksum_error_offset},
            {"capacity_bytes", device.capacity_bytes},
            {"written_bytes", device.written_bytes},
            {"unused_bytes", device.unused_bytes}};
}

Json volume_json(const VolumeInfo& volume) {
    return {{"name", volume.name},
            {"uuid", volume.uuid},
            {"bytes", volume.bytes},
            {"device", volume.device}};
}

Json file_system_json(const Stats::FileSystem& system) {
    return {{"path", system.path},
            {"unallocated_bytes", system.unallocated_bytes},
            {"available_bytes", system.available_bytes}};
}

Json bytes_json(const Stats::Bytes& bytes) {
    return {{"user_written", bytes.user_written},
            {"user_read", bytes.user_read},
            {"user_trimmed", bytes.user_trimmed},
            {"tps_written", bytes.tps_written},
            {"qlc_data", bytes.qlc_data},
            {"qlc_gc", bytes.qlc_gc},
            {"qlc_parity", bytes.qlc_parity},
            {"qlc_header", bytes.qlc_header},
            {"qlc_padding", bytes.qlc_padding},
            {"qlc_rebuild", bytes.qlc_rebuild},
            {"pmt_written", bytes.pmt_written},
            {"pmt_read", bytes.pmt_read},
            {"band_table_written", bytes.band_table_written}};
}

Json memory_json(const Stats::Memory& memory) {
    return {{"total_bytes", memory.total()},
            {"pmt_cache_bytes", memory.pmt_cache},
            {"segments_bytes", memory.segments},
            {"overlay_bytes", memory.overlay},
            {"band_table_bytes", memory.band_table},
            {"requests_bytes", memory.requests},
            {"gc_bytes", memory.gc}};
}

Json endurance_json(const Stats::Endurance& endurance) {
    return {{"rated_cycles", Stats::Endurance::kRatedCycles},
            {"cycles_used", endurance.cycles_used},
            {"open_seconds", endurance.open_seconds},
            {"drive_writes_per_day", endurance.drive_writes_per_day},
            {"days_left", endurance.days_left}};
}

Json scrub_json(const Stats::Scrub& scrub) {
    return {{"passes", scrub.passes},
            {"bytes_read", scrub.bytes_read},
            {"strips_wrong", scrub.strips_wrong},
            {"bands_damaged", scrub.bands_damaged},
            {"bands_not_mended", scrub.bands_not_mended}};
}

bool returns(const Stats::Replacement& r) { return r.from == r.to; }

template <typename Job>
Json job_json(const std::string& kind, const Job& job) {
    return {{"kind", kind},
            {"percent", job.percent},
            {"bytes_per_second", job.bytes_per_second},
            {"seconds_left", job.seconds_left}};
}

// What is most urgent first.
Json jobs_json(const Stats& s) {
    Json jobs = Json::array();
    if (!s.replacement.role.empty()) {
        jobs.push_back(job_json(returns(s.replacement) ? "return" : "replace", s.replacement));
        jobs.back().update({{"role", s.replacement.role},
                            {"index", s.replacement.index},
                            {"from", s.replacement.from},
                            {"to", s.replacement.to}});
    }
    if (s.rebuild.bands_left != 0) {
        jobs.push_back(job_json("rebuild", s.rebuild));
        jobs.back()["bands_left"] = s.rebuild.bands_left;
    }
    if (s.scrub.state != "off") {
        jobs.push_back(job_json("scrub", s.scrub));
        jobs.back()["state"] = s.scrub.state;
    }
    return jobs;
}

Json bands_json(const Stats::Bands& bands) {
    return {{"total", bands.total},
            {"free", bands.free},
            {"open", bands.open},
            {"closed", bands.closed},
            {"reserve", bands.reserve},
            {"out_of_use", bands.out_of_use},
            {"by_validity", bands.by_validity}};
}

template <typename Job>
std::string speed_text(const Job& job) {
    std::string text = fmt::format(", {}/s", size_text(job.bytes_per_second));
    if (job.seconds_left > 0) text += ", " + long_text(job.seconds_left) + " left";
    return text;
}

}  // namespace

// Damage in the array's contents is a finding; everything else, a failing drive included, keeps the
// command from running, or from running to its end.
ExitCode exit_code_for(Errc code) {
    switch (code) {
        case Errc::damaged:
        case Errc::media_error:
            return kFoundProblem;
        case Errc::invalid_argument:
        case Errc::busy:
        case Errc::not_found:
        case Errc::exists:
        case Errc::no_space:
        case Errc::missing_device:
        case Errc::device_failed:
        case Errc::foreign_device:
        case Errc::stale_device:
        case Errc::duplicate_device:
        case Errc::io_error:
        case Errc::read_only:
        case Errc::unsupported:
        case Errc::closed:
        case Errc::no_memory:
            return kCouldNotRun;
    }
    return kCouldNotRun;
}

int report_error(const std::string& verb, bool json, const Error& error) {
    tell("qlcshape {}: {}\n", verb, error.message);
    if (json) {
        Json object = new_object(verb);
        object["error"] = {{"code", to_string(error.code)}, {"message", error.message}};
        print(object);
    }
    return exit_code_for(error.code);
}

void print_log(LogLevel level, const std::string& message) {
    if (level != LogLevel::info) tell("qlcshape: {}\n", message);
}

Json new_object(const std::string& verb) { return {{"schema", 1}, {"verb", verb}}; }

void print(const Json& object) {
    // A path need not be UTF-8. Terminals obey control characters beyond ASCII, too.
    constexpr bool kAsciiAlone = true;
    fmt::print("{}\n", object.dump(2, ' ', kAsciiAlone, Json::error_handler_t::replace));
    std::fflush(stdout);
}

Json latency_json(const LatencySummary& latency) {
    return {{"p50", latency.p50},
            {"p99", latency.p99},
            {"p999", latency.p999},
            {"max", latency.max},
            {"count", latency.count}};
}

void add_stats(Json& object, const Stats& stats) {
    object["array"] = {{"name", stats.array_name},
                       {"uuid", stats.array_uuid},
                       {"state", stats.state},
                       {"cause", stats.cause},
                       {"remedy", stats.remedy},
                       {"read_only", stats.read_only},
                       {"health", stats.health},
                       {"health_reasons", stats.health_reasons},
                       {"epoch", stats.epoch},
                       {"live", stats.live},
                       {"counters_incomplete", stats.counters_incomplete}};
    object["space"] = {{"raw_bytes", stats.space.raw_bytes},
                       {"writable_bytes", stats.space.writable_bytes},
                       {"promised_bytes", stats.space.promised_bytes},
                       {"used_bytes", stats.space.used_bytes},
                       {"spare_bytes", stats.space.spare_bytes}};
    object["bytes"] = bytes_json(stats.bytes);
    object["waf"] = {{"data", stats.waf_data}, {"total", stats.waf_total}};
    object["pmt"] = {{"hits", stats.pmt.hits},
                     {"misses", stats.pmt.misses},
                     {"write_backs", stats.pmt.write_backs},
                     {"snapshots", stats.pmt.snapshots},
                     {"copies", stats.pmt.copies}};
    object["gc"] = {{"bands_moved", stats.gc.bands_moved},
                    {"blocks_moved", stats.gc.blocks_moved},
                    {"races_lost", stats.gc.races_lost}};
    object["bands"] = bands_json(stats.bands);
    object["protection"] = {{"two", stats.protection.two},
                            {"one", stats.protection.one},
                            {"none", stats.protection.none},
                            {"lost", stats.protection.lost}};
    object["endurance"] = endurance_json(stats.endurance);
    object["recovery"] = {{"kind", stats.recovery.kind},
                          {"seconds", stats.recovery.seconds},
                          {"segments_scanned", stats.recovery.segments_scanned},
                          {"tps_records", stats.recovery.tps_records},
                          {"blocks_replayed", stats.recovery.blocks_replayed},
                          {"segments_discarded", stats.recovery.segments_discarded},
                          {"segments_unread", stats.recovery.segments_unread}};
    object["errors"] = {{"verify_failed", stats.errors.verify_failed},
                        {"reconstructed", stats.errors.reconstructed},
                        {"unreadable", stats.errors.unreadable},
                        {"commit_retries", stats.errors.commit_retries}};
    object["scrub"] = scrub_json(stats.scrub);
    object["jobs"] = jobs_json(stats);
    object["io"] = {{"method", stats.io.method},
                    {"slow", stats.io.slow},
                    {"unregistered", stats.io.unregistered}};
    object["memory"] = memory_json(stats.memory);
    object["file_systems"] = to_array(stats.file_systems, file_system_json);
    object["devices"] = to_array(stats.devices, device_json);
    object["volumes"] = to_array(stats.volumes, volume_json);
    object["latency_us"] = {{"read", latency_json(stats.latency.read)},
                            {"write", latency_json(stats.latency.write)}};
    object["iops"] = {{"read", 0.0}, {"write", 0.0}};
    object["verified"] = {{"blocks", 0}, {"mismatches", 0}};
}

std::string state_text(const Stats& s) {
    std::string text = headline(s);
    if (!text.empty()) text += '\n';
    return text + fmt::format("array     {}  {}{}  {}\n", s.array_name, s.state,
                              s.read_only ? ", read-only" : "", s.array_uuid);
}

std::string jobs_text(const Stats& s) {
    std::vector<std::string> jobs;
    if (const Stats::Replacement& r = s.replacement; !r.role.empty()) {
        jobs.push_back(returns(r) ? fmt::format("return {} drive {}: {}", r.role, r.index, r.to)
                                  : fmt::format("replace {} drive {}: {} by {}", r.role, r.index,
                                                r.from.empty() ? "missing" : r.from, r.to));
        if (r.role == "qlc" && returns(r))
            jobs.back() += fmt::format("; {} of it is looked through for what it should not hold",
                                       percent_text(r.percent / 100));
        if (r.role == "scm") {
            jobs.back() += r.percent < 100
                               ? fmt::format("; {} of the table is on it{}",
                                             percent_text(r.percent / 100), speed_text(r))
                               : "; the table is on it, what else is on SCM is not yet";
        }
    }
    for (const DeviceStatus& d : s.devices) {
        if (d.state != "draining") continue;
        jobs.push_back(
            fmt::format("drain {} drive {} ({}): ", d.role, d.index, d.path) +
            (d.bands == 0 ? "no band has anything there any more: remove it (`qlcshape remove`)"
             : s.live && s.rebuild.bands_left == 0
                 ? fmt::format(
                       "{} bands there can't be moved now: there is no room, they are out of "
                       "use, or have damage that can't be rebuilt",
                       d.bands)
             : s.live ? fmt::format("{} bands have a part of their data there", d.bands)
                      : "it goes on while the array is open"));
    }
    if (s.rebuild.bands_left != 0) {
        jobs.push_back(fmt::format("rebuild: {}, {} bands are left{}",
                                   percent_text(s.rebuild.percent / 100), s.rebuild.bands_left,
                                   speed_text(s.rebuild)));
    }
    if (s.scrub.state != "off") {
        jobs.push_back(fmt::format("scrub ({}): {} of this pass{}", s.scrub.state,
                                   percent_text(s.scrub.percent / 100), speed_text(s.scrub)));
        if (s.scrub.bands_damaged != 0)
            jobs.back() +=
                fmt::format("; {} damaged bands are to be rewritten", s.scrub.bands_damaged);
    }
    if (jobs.empty()) jobs.push_back("none");
    return fmt::format("jobs      {}\n", fmt::join(jobs, "\n          "));
}

std::string unused_text(const Stats& s) {
    std::string text;
    for (const DeviceStatus& d : s.devices) {
        if (d.unused_bytes == 0) continue;
        text += fmt::format(
            "unused    {} of {} drive {} ({}): of each {} drive as much is used as the smallest "
            "has, {}\n",
            size_text(d.unused_bytes), d.role, d.index, d.path.empty() ? "missing" : d.path, d.role,
            size_text(d.capacity_bytes - d.unused_bytes));
    }
    return text;
}

double waf_data(const Stats::Bytes& b) { return ratio(b.user_written + b.qlc_gc, b.user_written); }

double waf_total(const Stats::Bytes& b) { return ratio(b.qlc_total(), b.user_written); }

Stats difference(const Stats& after, const Stats& before) {
    Stats d = after;
    d.bytes.user_written -= before.bytes.user_written;
    d.bytes.user_read -= before.bytes.user_read;
    d.bytes.user_trimmed -= before.bytes.user_trimmed;
    d.bytes.tps_written -= before.bytes.tps_written;
    d.bytes.qlc_data -= before.bytes.qlc_data;
    d.bytes.qlc_gc -= before.bytes.qlc_gc;
    d.bytes.qlc_parity -= before.bytes.qlc_parity;
    d.bytes.qlc_header -= before.bytes.qlc_header;
    d.bytes.qlc_padding -= before.bytes.qlc_padding;
    d.bytes.qlc_rebuild -= before.bytes.qlc_rebuild;
    d.bytes.pmt_written -= before.bytes.pmt_written;
    d.bytes.pmt_read -= before.bytes.pmt_read;
    d.bytes.band_table_written -= before.bytes.band_table_written;
    d.pmt.hits -= before.pmt.hits;
    d.pmt.misses -= before.pmt.misses;
    d.pmt.write_backs -= before.pmt.write_backs;
    d.pmt.snapshots -= before.pmt.snapshots;
    d.gc.bands_moved -= before.gc.bands_moved;
    d.gc.blocks_moved -= before.gc.blocks_moved;
    d.gc.races_lost -= before.gc.races_lost;
    d.errors.verify_failed -= before.errors.verify_failed;
    d.errors.reconstructed -= before.errors.reconstructed;
    d.errors.unreadable -= before.errors.unreadable;
    d.errors.commit_retries -= before.errors.commit_retries;
    d.latency.read.count -= before.latency.read.count;
    d.latency.write.count -= before.latency.write.count;
    d.waf_data = waf_data(d.bytes);
    d.waf_total = waf_total(d.bytes);
    return d;
}

void Table::add(std::vector<std::string> row) {
    for (std::string& cell : row) cell = printable(cell);
    rows_.push_back(std::move(row));
}

std::string Table::text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows_) {
        std::string line = " ";
        for (std::size_t i = 0; i < row.size(); ++i)
            line += fmt::format(" {:<{}} ", row[i], widths[i]);
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

}  // namespace qlcshape::tools
