// SPDX-License-Identifier: Apache-2.0
#include "engine/stats_json.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace qlcshape {

// The names in the JSON are those of the fields. What one side doesn't know keeps its default, so
// that a newer command can ask an older server, and take over from it.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(LatencySummary, p50, p99, p999, max, count)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(DeviceStatus, uuid, path, role, index, state,
                                                errors, last_error, failing, checksum_errors,
                                                last_checksum_error_offset, capacity_bytes,
                                                written_bytes, unused_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(VolumeInfo, name, uuid, bytes, device)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Space, raw_bytes, writable_bytes,
                                                promised_bytes, used_bytes, spare_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Bytes, user_written, user_read, user_trimmed,
                                                tps_written, qlc_data, qlc_gc, qlc_parity,
                                                qlc_header, qlc_padding, pmt_written, pmt_read,
                                                band_table_written)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Pmt, hits, misses, write_backs, snapshots)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Gc, bands_moved, blocks_moved, races_lost)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Bands, total, free, open, closed, reserve,
                                                out_of_use, by_validity)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Endurance, open_seconds, cycles_used,
                                                drive_writes_per_day, days_left)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Recovery, kind, seconds, segments_scanned,
                                                tps_records, blocks_replayed, segments_discarded,
                                                segments_unread)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Errors, verify_failed, reconstructed,
                                                unreadable, commit_retries)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Memory, pmt_cache, segments, overlay,
                                                band_table, requests, gc)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Latency, read, write)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Io, method, slow, unregistered)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats, space, bytes, waf_data, waf_total, pmt, gc,
                                                bands, endurance, recovery, errors, memory, latency,
                                                io, devices, volumes, array_name, array_uuid, state,
                                                cause, read_only, health, health_reasons, epoch,
                                                live, counters_incomplete)

std::string to_json(const Stats& stats) {
    // A path need not be UTF-8.
    return nlohmann::json(stats).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Stats> stats_from_json(const std::string& text) {
    try {
        auto stats = nlohmann::json::parse(text).get<Stats>();
        if (stats.array_uuid.empty()) return fail(Errc::unsupported, "these are no statistics");
        return stats;
    } catch (const nlohmann::json::exception& error) {
        return fail(Errc::unsupported, "statistics of another version: {}", error.what());
    }
}

}  // namespace qlcshape
