// SPDX-License-Identifier: Apache-2.0
// Statistics in the text format of Prometheus. Names and units follow its conventions: base units
// (seconds, bytes), counters end in _total. A state is one sample for each possible value, 0 or 1,
// so that an alert can name the value: `qlcshape_array_health{health="ok"} == 0`.
//
// Counters are those of the array's life, kept in superblocks and snapshots. After a crash they go
// back to the newest of these; counters_incomplete says so, and rate() takes it for a restart.
#include <fmt/format.h>

#include <cstddef>
#include <string_view>

#include "base/printable.h"
#include "qlcshape/stats.h"

namespace qlcshape {

namespace {

// A label's value: UTF-8 without control characters, since whoever reads it may print it.
std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : printable(text)) {
        if (c == '\\' || c == '"') out += '\\';
        out += c;
    }
    return out;
}

class Writer {
  public:
    explicit Writer(const std::string& array) : array_(escaped(array)) {}

    // Begins a metric; samples follow.
    Writer& counter(std::string_view name, std::string_view help) {
        return begin(name, help, "counter");
    }
    Writer& gauge(std::string_view name, std::string_view help) {
        return begin(name, help, "gauge");
    }
    Writer& summary(std::string_view name, std::string_view help) {
        return begin(name, help, "summary");
    }
    template <class Value>
    Writer& sample(Value value, const std::string& labels = {}) {
        text_ += fmt::format("{}{{array=\"{}\"{}{}}} {}\n", name_, array_,
                             labels.empty() ? "" : ",", labels, value);
        return *this;
    }
    std::string take() { return std::move(text_); }

  private:
    Writer& begin(std::string_view name, std::string_view help, std::string_view type) {
        name_ = fmt::format("qlcshape_{}", name);
        text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
        return *this;
    }

    std::string array_, name_, text_;
};

std::string label(std::string_view name, std::string_view value) {
    return fmt::format("{}=\"{}\"", name, value);
}

void write_state(Writer& out, const Stats& s) {
    const std::string uuid = label("uuid", s.array_uuid);
    out.gauge("array_state", "1 for the state that the array is in.");
    for (const char* const state : {"clean", "open", "crashed", "failed"})
        out.sample(s.state == state ? 1 : 0, label("state", state) + "," + uuid);
    out.gauge("array_health", "1 for how well the array is.");
    for (const char* const health : {"ok", "degraded", "unprotected", "failed"})
        out.sample(s.health == health ? 1 : 0, label("health", health) + "," + uuid);
    out.gauge("array_read_only", "1 if the array refuses writes.").sample(s.read_only ? 1 : 0);
    if (!s.io.method.empty()) {
        out.gauge("io_method", "1 for how transfers to files and block devices are made.");
        for (const char* const method : {"io_uring", "blocking"})
            out.sample(s.io.method == method ? 1 : 0, label("method", method));
        out.gauge("io_slow", "1 if transfers are slower than they could be; status says why.")
            .sample(s.io.slow.empty() ? 0 : 1);
    }
    out.gauge("counters_incomplete",
              "1 if counters lack what was counted between the last snapshot and a crash.")
        .sample(s.counters_incomplete ? 1 : 0);
}

void write_bytes(Writer& out, const Stats& s) {
    const Stats::Bytes& b = s.bytes;
    out.counter("user_bytes_total", "Bytes that users wrote, read and trimmed.")
        .sample(b.user_written, label("op", "write"))
        .sample(b.user_read, label("op", "read"))
        .sample(b.user_trimmed, label("op", "trim"));
    out.counter("qlc_written_bytes_total", "Bytes written to all QLC drives.")
        .sample(b.qlc_data, label("kind", "data"))
        .sample(b.qlc_gc, label("kind", "gc"))
        .sample(b.qlc_parity, label("kind", "parity"))
        .sample(b.qlc_header, label("kind", "header"))
        .sample(b.qlc_padding, label("kind", "padding"))
        .sample(b.qlc_rebuild, label("kind", "rebuild"));
    out.counter("tps_written_bytes_total", "Bytes written to each mirror of the TPS.")
        .sample(b.tps_written);
    out.counter("pmt_written_bytes_total", "Bytes of mapping table pages written.")
        .sample(b.pmt_written);
    out.gauge("waf_ratio", "Write amplification over the array's life.")
        .sample(s.waf_data, label("of", "data"))
        .sample(s.waf_total, label("of", "total"));
}

void write_space(Writer& out, const Stats& s) {
    out.gauge("space_bytes", "Space: raw, writable, promised to volumes, used.")
        .sample(s.space.raw_bytes, label("kind", "raw"))
        .sample(s.space.writable_bytes, label("kind", "writable"))
        .sample(s.space.promised_bytes, label("kind", "promised"))
        .sample(s.space.used_bytes, label("kind", "used"));
    out.gauge("bands", "Bands by state.")
        .sample(s.bands.free, label("state", "free"))
        .sample(s.bands.open, label("state", "open"))
        .sample(s.bands.closed, label("state", "closed"));
    out.gauge("bands_by_protection", "Bands in use by the QLC drives that may be lost now.")
        .sample(s.protection.two, label("losses", "2"))
        .sample(s.protection.one, label("losses", "1"))
        .sample(s.protection.none, label("losses", "0"));
    out.gauge("bands_lost", "Bands in use of which too few strips are on drives that are there.")
        .sample(s.protection.lost);
    out.gauge("bands_out_of_use", "Closed bands that GC can't move or erase.")
        .sample(s.bands.out_of_use);
    out.gauge("bands_by_validity",
              "Closed bands by the tenth that their share of valid blocks is in.");
    for (std::size_t i = 0; i < s.bands.by_validity.size(); ++i) {
        out.sample(s.bands.by_validity[i], label("tenth", std::to_string(i)));
    }
}

void write_work(Writer& out, const Stats& s) {
    out.counter("gc_bands_total", "Bands that GC moved.").sample(s.gc.bands_moved);
    out.counter("gc_blocks_total", "Blocks that GC moved.").sample(s.gc.blocks_moved);
    out.counter("pmt_lookups_total", "Lookups of mapping table pages in DRAM.")
        .sample(s.pmt.hits, label("result", "hit"))
        .sample(s.pmt.misses, label("result", "miss"));
    out.counter("errors_total",
                "Blocks that failed their checksum, were rebuilt, or were lost; segments "
                "written again.")
        .sample(s.errors.verify_failed, label("kind", "checksum"))
        .sample(s.errors.reconstructed, label("kind", "rebuilt"))
        .sample(s.errors.unreadable, label("kind", "unreadable"))
        .sample(s.errors.commit_retries, label("kind", "commit_retry"));
    out.counter("scrub_bands_total", "Bands that the scrub has passed.")
        .sample(s.scrub.bands_passed);
    out.counter("scrub_read_bytes_total", "Bytes that the scrub has read.")
        .sample(s.scrub.bytes_read);
    out.counter("scrub_strips_wrong_total",
                "Strips that the scrub found to be something else than was written.")
        .sample(s.scrub.strips_wrong);
    out.gauge("scrub_bands_damaged", "Bands with damage that are not rewritten yet.")
        .sample(s.scrub.bands_damaged);
    out.gauge("scrub_bands_not_mended", "Bands with damage that can't be rebuilt now.")
        .sample(s.scrub.bands_not_mended);
    out.gauge("rebuild_bands_left", "Bands that lack the strip of a drive that is there.")
        .sample(s.rebuild.bands_left);
    if (s.replacement.role == "scm") {
        out.gauge("replacement_percent", "How much of the table a new scm drive has.")
            .sample(s.replacement.percent, label("index", std::to_string(s.replacement.index)));
    }
    out.counter("requests_total", "Requests completed since the array was opened.")
        .sample(s.latency.read.count, label("op", "read"))
        .sample(s.latency.write.count, label("op", "write"));
    out.summary("latency_seconds", "Latency of requests since the array was opened.");
    for (const auto& [op, l] : {std::pair{"read", &s.latency.read}, {"write", &s.latency.write}}) {
        out.sample(l->p50 / 1e6, label("op", op) + "," + label("quantile", "0.5"));
        out.sample(l->p99 / 1e6, label("op", op) + "," + label("quantile", "0.99"));
        out.sample(l->p999 / 1e6, label("op", op) + "," + label("quantile", "0.999"));
    }
}

std::string labels_of(const DeviceStatus& d) {
    return label("uuid", d.uuid) + "," + label("role", d.role) + "," +
           label("path", escaped(d.path));
}

void write_devices(Writer& out, const Stats& s) {
    std::vector<DeviceStatus> devices = s.devices;
    std::erase_if(devices, [](const DeviceStatus& d) { return d.state == "removed"; });
    out.gauge("device_online", "1 if the drive is there and can be read.");
    for (const DeviceStatus& d : devices)
        out.sample(d.serves() || d.state == "spare" ? 1 : 0, labels_of(d));
    out.gauge("device_capacity_bytes", "The drive's size.");
    for (const DeviceStatus& d : devices) out.sample(d.capacity_bytes, labels_of(d));
    out.counter("device_written_bytes_total", "Bytes written to the drive.");
    for (const DeviceStatus& d : devices) out.sample(d.written_bytes, labels_of(d));
    out.counter("device_errors_total", "Transfers that failed since the array was opened.");
    for (const DeviceStatus& d : devices) out.sample(d.errors, labels_of(d));
    out.counter("device_checksum_errors_total",
                "Blocks of the drive that failed their checksum since the array was opened.");
    for (const DeviceStatus& d : devices) out.sample(d.checksum_errors, labels_of(d));
    out.gauge("endurance_used_ratio", "Share of the rated program and erase cycles used.")
        .sample(s.endurance.cycles_used / Stats::Endurance::kRatedCycles);
    out.counter("open_seconds_total", "How long the array has been open for writing.")
        .sample(s.endurance.open_seconds);
}

void write_volumes(Writer& out, const Stats& s) {
    out.gauge("volume_bytes", "The volume's size.");
    for (const VolumeInfo& v : s.volumes) out.sample(v.bytes, label("volume", v.name));
    out.gauge("volume_block_device", "1 for the block device that the volume is served as.");
    for (const VolumeInfo& v : s.volumes) {
        if (!v.device.empty())
            out.sample(1, label("volume", v.name) + "," + label("device", escaped(v.device)));
    }
}

}  // namespace

std::string to_prometheus(const Stats& stats) {
    Writer out(stats.array_name);
    write_state(out, stats);
    write_bytes(out, stats);
    write_space(out, stats);
    write_work(out, stats);
    write_devices(out, stats);
    write_volumes(out, stats);
    return out.take();
}

}  // namespace qlcshape
