// SPDX-License-Identifier: Apache-2.0
#include "admin/stats_json.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace qlcshape {

// The names in the JSON are those of the fields. What one side doesn't know keeps its default, so
// that a newer command can ask an older server, and take over from it.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(LatencySummary, p50, p99, p999, max, count)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(DeviceStatus, uuid, path, role, index, state,
                                                errors, last_error, failing, bands, checksum_errors,
                                                last_checksum_error_offset, capacity_bytes,
                                                written_bytes, unused_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(VolumeInfo, name, uuid, bytes, device)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Space, raw_bytes, writable_bytes,
                                                promised_bytes, used_bytes, spare_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Bytes, user_written, user_read, user_trimmed,
                                                tps_written, qlc_data, qlc_gc, qlc_parity,
                                                qlc_header, qlc_padding, qlc_rebuild, pmt_written,
                                                pmt_read, band_table_written)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Pmt, hits, misses, write_backs, snapshots,
                                                copies)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Gc, bands_moved, blocks_moved, races_lost)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Bands, total, free, open, closed, reserve,
                                                out_of_use, by_validity)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Protection, two, one, none, lost)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Endurance, open_seconds, cycles_used,
                                                drive_writes_per_day, days_left)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Recovery, kind, seconds, segments_scanned,
                                                tps_records, blocks_replayed, segments_discarded,
                                                segments_unread)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Errors, verify_failed, reconstructed,
                                                unreadable, commit_retries)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Scrub, state, asked, passes_asked, percent,
                                                bytes_per_second, seconds_left, strips_wrong_now,
                                                strips_left_out, bands_damaged, bands_not_mended,
                                                strips_wrong, bands_passed, bytes_read, passes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Replacement, role, index, from, to, percent,
                                                bytes_per_second, seconds_left)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Rebuild, bands_left, bands_rebuilt,
                                                bytes_read, percent, bytes_per_second, seconds_left)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Memory, pmt_cache, segments, overlay,
                                                band_table, requests, gc)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Latency, read, write)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::Io, method, slow, unregistered)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats::FileSystem, path, unallocated_bytes,
                                                available_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Stats, space, bytes, waf_data, waf_total, pmt, gc,
                                                bands, protection, endurance, recovery, errors,
                                                scrub, replacement, rebuild, memory, latency, io,
                                                file_systems, devices, volumes, array_name,
                                                array_uuid, state, cause, remedy, read_only, health,
                                                health_reasons, epoch, live, counters_incomplete)

namespace {

using Json = nlohmann::json;

// What the conversion below would take and bend: a fraction, or less than 0, for a count; less than
// 0 for a duration or a share. `model` has each field, and one element of each list. Empty if all
// is well, otherwise the name of the first that is not.
std::string misfit(const Json& value, const Json& model, const std::string& name = "") {
    if (model.is_number_unsigned() && !value.is_number_unsigned()) return name;
    if (model.is_number_float() && !(value.is_number() && value.get<double>() >= 0)) return name;
    if (model.is_object() && value.is_object()) {
        for (const auto& [key, part] : model.items()) {
            const auto at = value.find(key);
            if (at == value.end()) continue;
            if (std::string wrong = misfit(*at, part, key); !wrong.empty()) return wrong;
        }
    }
    if (model.is_array() && !model.empty() && value.is_array()) {
        for (const Json& part : value) {
            if (std::string wrong = misfit(part, model.front(), name); !wrong.empty()) return wrong;
        }
    }
    return "";
}

// nlohmann's conversion casts: 2^32 becomes 0 in 32 bits, -1 a very large number, and 1e300 is
// undefined. So it is made after misfit() has seen the kinds; cut_off() sees the sizes after it.
//
// The first count that is not what it was: too large for its field.
std::string cut_off(const Json& value, const Json& taken, const std::string& name = "") {
    if (taken.is_number_unsigned() && value != taken) return name;
    if (taken.is_object()) {
        for (const auto& [key, part] : taken.items()) {
            const auto at = value.find(key);
            if (at == value.end()) continue;
            if (std::string wrong = cut_off(*at, part, key); !wrong.empty()) return wrong;
        }
    }
    for (std::size_t i = 0; taken.is_array() && i < taken.size() && i < value.size(); ++i) {
        if (std::string wrong = cut_off(value[i], taken[i], name); !wrong.empty()) return wrong;
    }
    return "";
}

std::unexpected<Error> out_of_range(const std::string& field) {
    return fail(Errc::unsupported, "statistics of another version: {} is out of range", field);
}

Json model_of_stats() {
    Stats one;
    one.file_systems.emplace_back();
    one.devices.emplace_back();
    one.volumes.emplace_back();
    return one;
}

}  // namespace

std::string to_json(const Stats& stats) {
    // A path need not be UTF-8.
    return nlohmann::json(stats).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Stats> stats_from_json(const std::string& text) {
    try {
        const Json json = Json::parse(text);
        if (const auto field = misfit(json, model_of_stats()); !field.empty())
            return out_of_range(field);
        auto stats = json.get<Stats>();
        if (const auto field = cut_off(json, stats); !field.empty()) return out_of_range(field);
        if (stats.array_uuid.empty()) return fail(Errc::unsupported, "these are no statistics");
        return stats;
    } catch (const nlohmann::json::exception& error) {
        return fail(Errc::unsupported, "statistics of another version: {}", error.what());
    }
}

}  // namespace qlcshape
