// SPDX-License-Identifier: Apache-2.0
// Statistics, of an open array and (by report.h) of a closed one. Counters are read while the
// workers add to them: each is right by itself, sums of several may be some blocks off.
#include <algorithm>

#include "engine/core.h"
#include "engine/health.h"
#include "engine/report.h"

namespace qlcshape {

namespace {

LatencySummary summarize(const Histogram& h) {
    auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e3; };
    return {us(h.quantile_ns(0.5)), us(h.quantile_ns(0.99)), us(h.quantile_ns(0.999)),
            us(h.max_ns()), h.count()};
}

}  // namespace

void fill_counters(Stats& s, const std::function<std::uint64_t(Counter)>& get) {
    s.bytes.user_written = get(Counter::user_written_bytes);
    s.bytes.user_read = get(Counter::user_read_bytes);
    s.bytes.user_trimmed = get(Counter::user_trimmed_bytes);
    s.bytes.tps_written = get(Counter::tps_written_bytes);
    s.bytes.qlc_data = get(Counter::qlc_data_bytes);
    s.bytes.qlc_gc = get(Counter::qlc_gc_bytes);
    s.bytes.qlc_parity = get(Counter::qlc_parity_bytes);
    s.bytes.qlc_header = get(Counter::qlc_header_bytes);
    s.bytes.qlc_padding = get(Counter::qlc_padding_bytes);
    s.bytes.qlc_rebuild = get(Counter::rebuild_written_bytes);
    s.bytes.pmt_written = get(Counter::pmt_written_bytes);
    s.bytes.pmt_read = get(Counter::pmt_read_bytes);
    s.bytes.band_table_written = get(Counter::band_table_written_bytes);
    // Of 100 GiB written by users GC moved 60: waf_data is 1.6. With headers, padding and, at 8+2,
    // parity (2 / 8 of the strips with data) waf_total is somewhat over 2.
    if (s.bytes.user_written != 0) {
        const auto user = static_cast<double>(s.bytes.user_written);
        s.waf_data = (user + static_cast<double>(s.bytes.qlc_gc)) / user;
        s.waf_total = static_cast<double>(s.bytes.qlc_total()) / user;
    }
    s.pmt.hits = get(Counter::pmt_hits);
    s.pmt.misses = get(Counter::pmt_misses);
    s.pmt.write_backs = s.bytes.pmt_written / kBlockBytes;
    s.gc.bands_moved = get(Counter::gc_bands_moved);
    s.gc.blocks_moved = get(Counter::gc_blocks_moved);
    s.gc.races_lost = get(Counter::gc_races_lost);
    s.errors.verify_failed = get(Counter::verify_failed);
    s.errors.reconstructed = get(Counter::reconstructed);
    s.errors.unreadable = get(Counter::unreadable);
    s.errors.commit_retries = get(Counter::commit_retries);
    s.scrub.bands_passed = get(Counter::scrub_bands);
    s.scrub.bytes_read = get(Counter::scrub_bytes);
    s.scrub.strips_wrong = get(Counter::scrub_strips_wrong);
    s.rebuild.bands_rebuilt = get(Counter::rebuild_bands);
    s.rebuild.bytes_read = get(Counter::rebuild_read_bytes);
    s.space.used_bytes = get(Counter::used_blocks) * kBlockBytes;
    s.endurance.open_seconds = static_cast<double>(get(Counter::open_milliseconds)) / 1000;
}

void fill_space(Stats& s, const Superblock& superblock, const ArrayLayout& l) {
    s.pmt.copies = l.p.pmt_copies;
    s.data_strips = l.p.data_strips;
    s.space.raw_bytes = std::uint64_t{l.band_slots} * l.p.band_bytes * l.p.qlc_count;
    s.space.writable_bytes = l.writable_blocks * kBlockBytes;
    s.space.promised_bytes = promised_bytes(superblock);
    // What GC has to work with: slots outside the reserve that no volume can be promised.
    const std::uint64_t slots = std::uint64_t{l.bands - l.reserve_bands} * l.slots_per_band();
    s.space.spare_bytes = (slots - l.writable_blocks) * kBlockBytes;
    s.bands.total = l.bands;
    s.scrub.passes = static_cast<double>(s.scrub.bands_passed) / l.bands;
    s.bands.reserve = l.reserve_bands;
    s.array_name = superblock.name;
    s.array_uuid = superblock.array.to_string();
    s.epoch = superblock.epoch;
    for (const VolumeRecord& v : superblock.volumes) {
        if (v.state != kVolumeDeleted)
            s.volumes.push_back({v.name, v.uuid.to_string(), v.bytes, ""});
    }
}

namespace {

// The stripes go round the QLC drives, and what was rebuilt may all be on one of them: so that is
// the most that one of them got. Every TPS record is on each SCM drive, and the pages of the PMT go
// round the SCM drives.
std::uint64_t written_bytes(const Stats::Bytes& b, DeviceRole role, std::uint64_t drives) {
    if (role == DeviceRole::qlc) {
        return (b.qlc_total() - b.qlc_rebuild) / drives + b.qlc_rebuild;
    }
    if (role == DeviceRole::scm) {
        return b.tps_written + b.band_table_written + b.pmt_written / drives;
    }
    return 0;
}

// Null where it is not known.
const std::string* known_path(const MemberDevice& m, const std::vector<Unusable>& unusable) {
    if (m.device != nullptr) return &m.device->path();
    const auto there = std::ranges::find(unusable, m.record.uuid, &Unusable::member);
    return there == unusable.end() ? nullptr : &there->path;
}

// Devices are known by UUID, so the array file does not say which path a missing one had. But it
// does where one path of its role is left over, or where all others are listed by drive number:
//
//   file: a b c d; there: drive 0 is a, 2 is c, 3 is d     drive 1 is b: the only one left
//   file: a b c d; there: drive 0 is a, 3 is d             drives 1 and 2: b and c, by the order
//   file: d b c a; there: drive 0 is a, 3 is d             not known: never named wrong
std::string missing_path(const MemberDevice& missing, const Members& members,
                         const std::vector<DeviceOptions>& named,
                         const std::vector<Unusable>& unusable) {
    const Role role = missing.record.role == DeviceRole::qlc ? Role::qlc : Role::scm;
    std::vector<std::string> paths;
    for (const DeviceOptions& d : named) {
        if (d.role == role) paths.push_back(d.path);
    }
    std::vector<std::string> left = paths;
    bool in_order = missing.record.index < paths.size();
    int absent = 0;
    for (const MemberDevice* m : members) {
        if (m->record.role != missing.record.role) continue;
        const std::string* const path = known_path(*m, unusable);
        if (path != nullptr) std::erase(left, *path);
        if (m->record.kept_out == MemberRecord::kRemoved) continue;  // the file needs no path of it
        if (path == nullptr) {
            ++absent;
            continue;
        }
        in_order &= m->record.index < paths.size() && paths[m->record.index] == *path;
    }
    const bool removed = missing.record.kept_out == MemberRecord::kRemoved;
    if (absent == 1 && left.size() == 1 && !removed) return left.front();
    return in_order ? paths[missing.record.index] : "";
}

void name_unusable(Stats& s, const std::vector<Unusable>& unusable) {
    for (DeviceStatus& d : s.devices) {
        const auto known = std::ranges::find(unusable, d.path, &Unusable::path);
        if (d.state != "missing" || known == unusable.end()) continue;
        if (known->why.code == Errc::missing_device) continue;
        d.state = "failed";
        d.last_error = known->why.message;
    }
}

// By the drive written most, for its size: the first to wear out. With 30 TB written to a drive of
// 30 TB in 10 days of being open: 1 cycle, 0.1 drive writes a day, 9990 days left of 1000 cycles.
// What the drive itself writes in addition is not known here.
void fill_endurance(Stats& s) {
    Stats::Endurance& e = s.endurance;
    for (const DeviceStatus& d : s.devices) {
        if (d.role != to_string(DeviceRole::qlc) || d.capacity_bytes == 0) continue;
        e.cycles_used = std::max(e.cycles_used, static_cast<double>(d.written_bytes) /
                                                    static_cast<double>(d.capacity_bytes));
    }
    if (e.open_seconds == 0 || e.cycles_used == 0) return;
    e.drive_writes_per_day = e.cycles_used / (e.open_seconds / 86400);
    if (e.open_seconds < Stats::Endurance::kToldAfterSeconds) return;
    e.days_left =
        std::max(0.0, Stats::Endurance::kRatedCycles - e.cycles_used) / e.drive_writes_per_day;
}

// At the speed so far.
template <typename Job>
void fill_speed(Job& job, double bytes, std::uint64_t ns) {
    const double seconds = static_cast<double>(ns) / 1e9;
    if (seconds <= 0 || bytes <= 0 || job.percent <= 0) return;
    job.bytes_per_second = bytes / seconds;
    job.seconds_left = seconds * (100 - job.percent) / job.percent;
}

}  // namespace

void count_bands(Stats& s, const ArrayContext& array) {
    for (DeviceStatus& d : s.devices) {
        if (d.role == to_string(DeviceRole::qlc)) d.bands = array.columns->taken_on(d.index);
    }
}

void count_protection(Stats::Protection& protection, const ArrayContext& array,
                      const DriveSet& gone, BandId band) {
    const std::uint32_t there = array.columns_there(band, gone), k = array.layout.p.data_strips;
    ++(there >= k + 2   ? protection.two
       : there == k + 1 ? protection.one
       : there == k     ? protection.none
                        : protection.lost);
}

Members all_of(const std::vector<MemberDevice>& members) {
    Members all;
    for (const MemberDevice& m : members) all.push_back(&m);
    return all;
}

std::string path_of(const MemberDevice& member, const Members& members,
                    const std::vector<DeviceOptions>& named,
                    const std::vector<Unusable>& unusable) {
    const std::string* const known = known_path(member, unusable);
    return known == nullptr ? missing_path(member, members, named, unusable) : *known;
}

DeviceStatus spare_at(const std::string& path) {
    DeviceStatus spare;
    spare.path = path;
    spare.role = spare.state = to_string(DeviceRole::spare);
    return spare;
}

void fill_devices(Stats& s, const Superblock& superblock, const Members& members,
                  const std::vector<DeviceOptions>& named, const std::vector<Unusable>& unusable) {
    for (const MemberDevice* member : members) {
        const MemberDevice& m = *member;
        DeviceStatus d;
        d.uuid = m.record.uuid.to_string();
        d.path = path_of(m, members, named, unusable);
        d.role = to_string(m.record.role);
        d.index = m.record.index;
        d.state = m.device == nullptr    ? "missing"
                  : m.device->out()      ? "out"
                  : m.record.drains != 0 ? "draining"
                                         : "online";
        d.capacity_bytes = m.record.capacity_bytes;
        const ArrayParameters& p = superblock.parameters;
        const std::uint64_t used = m.record.role == DeviceRole::qlc ? p.qlc_bytes : p.scm_bytes;
        d.unused_bytes = d.capacity_bytes - std::min(used, d.capacity_bytes);
        if (m.device != nullptr) {
            d.errors = m.device->failures();
            d.last_error = m.device->last_failure();
            d.failing = m.device->failing();
            d.checksum_errors = m.device->mismatches();
            d.last_checksum_error_offset = m.device->last_mismatch();
        }
        if (m.record.kept_out == MemberRecord::kFailed) {
            d.state = "failed";
            d.last_error = kept_out(d.path.empty() ? d.uuid : d.path, m.record).why.message;
        }
        if (m.record.kept_out == MemberRecord::kRemoved) {
            d.state = "removed";
            d.last_error.clear();
        }
        const auto of_role = std::ranges::count_if(members, [&m](const MemberDevice* o) {
            return o->record.role == m.record.role && o->record.kept_out != MemberRecord::kRemoved;
        });
        d.written_bytes = written_bytes(s.bytes, m.record.role,
                                        static_cast<std::uint64_t>(of_role == 0 ? 1 : of_role));
        s.devices.push_back(std::move(d));
    }
    name_unusable(s, unusable);
    fill_endurance(s);
}

Members Core::shown_members() const {
    Members shown = all_of(members_);
    if (replacing_ && replacing_->joins) shown[replacing_->member] = &replacing_->fresh;
    return shown;
}

std::vector<const Device*> Core::drives() const {
    const Locked lock(shown_mutex_);
    std::vector<const Device*> all;
    for (const MemberDevice& m : members_) all.push_back(m.device.get());
    for (const auto& device : former_) all.push_back(device.get());
    return all;
}

bool Core::wants_rings() const {
    const Locked lock(shown_mutex_);
    return std::ranges::any_of(members_, [](const MemberDevice& m) {
        return m.device != nullptr && m.device->wants_ring();
    });
}

// The slowest queue decides: with one worker that has no ring the method is "blocking". The reasons
// are those that an operator can do something about.
void Core::fill_io(Stats::Io& io) const {
    if (!wants_rings()) return;
    const auto reason = [this](SlowIo what) -> std::string {
        int error_number = control_->slow().error_number(what);
        for (const auto& w : workers_) {
            if (const int of_worker = w->queue().slow().error_number(what); of_worker != 0)
                error_number = of_worker;
        }
        return error_number == 0 ? "" : describe(what, error_number);
    };
    const std::string no_ring = reason(SlowIo::no_ring);
    io.method = no_ring.empty() ? "io_uring" : "blocking";
    if (!no_ring.empty()) io.slow.push_back(no_ring);
    if (std::string text = reason(SlowIo::no_kernel_threads); !text.empty())
        io.slow.push_back(std::move(text));
    io.unregistered = reason(SlowIo::no_buffers);
}

void Core::fill_scrub(Stats::Scrub& scrub) const {
    scrub.bands_damaged = bands_->damaged();
    scrub.bands_not_mended = bands_->unmended();
    if (!scrub_pace_ || failed()) return;
    using Pass = ScrubPace::Pass;
    const ScrubPace::View view = scrub_pace_->look(environment_.clock.now_ns());
    const bool under_way = view.asked == Pass::under_way;
    scrub.state = under_way ? "asked" : view.on ? "scheduled" : "off";
    if (view.asked != Pass::none)
        scrub.asked = under_way ? "under way" : view.asked == Pass::ended ? "ended" : "stopped";
    scrub.passes_asked = view.passes_asked;
    scrub.strips_wrong_now = view.strips_wrong;
    scrub.strips_left_out = view.strips_left_out;
    scrub.percent = view.percent;
    scrub.bytes_per_second = view.bytes_per_second;
    scrub.seconds_left = view.seconds_left;
}

std::uint32_t Core::narrow_bands() const {
    std::uint32_t narrow = 0;
    bands_->in_use([&](BandId band, bool stays) { narrow += to_rebuild(band, stays) ? 1 : 0; });
    return narrow;
}

void Core::fill_replacement(Stats::Replacement& replacement) const {
    if (!replacing_) return;
    const Replacing& r = *replacing_;
    replacement = r.shown;
    if (!r.scm()) {
        const std::uint32_t slots = array_.layout.drive_slots();
        if (r.returns) replacement.percent = 100.0 * keeper_->back_slot() / slots;
        return;
    }
    double share = 0;
    std::uint64_t pages = 0;
    for (const Shard* shard : shards_) {
        share += shard->mirror_fill().share();
        pages += shard->mirror_fill().pages();
    }
    replacement.percent = 100 * share / static_cast<double>(shards_.size());
    fill_speed(replacement, static_cast<double>(pages * kBlockBytes),
               environment_.clock.elapsed_ns(r.began_ns));
}

void Core::fill_rebuild(Stats::Rebuild& rebuild, const RebuildBegun& begun) const {
    if (read_only_ || failed()) rebuild.bands_left = 0;  // nobody rebuilds any
    if (rebuild.bands_left == 0 || rebuild.bands_left > begun.bands) return;
    const std::uint32_t done = begun.bands - rebuild.bands_left;
    rebuild.percent = 100.0 * done / begun.bands;
    const double band = static_cast<double>(array_.layout.p.band_bytes) * array_.layout.width();
    fill_speed(rebuild, done * band, environment_.clock.elapsed_ns(begun.at_ns));
}

void Core::fill_bands(Stats::Bands& bands) const {
    const BandCounts counts = bands_->counts();
    bands.free = counts.free;
    bands.open = counts.open;
    bands.closed = counts.closed;
    bands.out_of_use = bands_->out_of_use();
    const std::uint64_t slots = array_.layout.slots_per_band();
    bands_->candidates([&](const Candidate& c) {
        const std::uint64_t tenth = std::uint64_t{c.valid} * bands.by_validity.size() / slots;
        ++bands.by_validity[std::min<std::uint64_t>(tenth, bands.by_validity.size() - 1)];
    });
}

// Under the lock only as long as superblock and volumes are looked at: nobody holds it while a
// drive is written.
Stats Core::stats() const {
    Stats s;
    RebuildBegun rebuild_begun;
    {
        const Locked lock(shown_mutex_);
        rebuild_begun = rebuild_begun_;
        fill_counters(s, [this](Counter c) { return total(c); });
        fill_space(s, shown_, array_.layout);
        for (VolumeInfo& v : s.volumes) {
            if (const auto it = volumes_.find(v.name); it != volumes_.end())
                v.device = it->second->device;
        }
        fill_devices(s, shown_, shown_members(), options_.devices, absent_);
        std::ranges::copy(spares_, std::back_inserter(s.devices));
        fill_replacement(s.replacement);
    }
    fill_bands(s.bands);
    const DriveSet gone = array_.drives_gone();
    bands_->in_use([&](BandId band, bool stays) {
        count_protection(s.protection, array_, gone, band);
        s.rebuild.bands_left += to_rebuild(band, stays) ? 1 : 0;
    });
    count_bands(s, array_);
    fill_rebuild(s.rebuild, rebuild_begun);
    if (snapshotter_) s.pmt.snapshots = snapshotter_->taken();
    s.recovery.kind = recovered_.report.kind;
    s.recovery.seconds = recovery_seconds_;
    s.recovery.segments_scanned = recovered_.report.segments_scanned;
    s.recovery.tps_records = recovered_.report.tps_records;
    s.recovery.blocks_replayed = recovered_.report.blocks_replayed;
    s.recovery.segments_discarded = recovered_.report.segments_discarded;
    s.recovery.segments_unread = recovered_.report.segments_unread;
    s.memory.band_table = bands_->memory_bytes() + array_.columns->memory_bytes();
    s.memory.requests = requests_->memory_bytes() + readers_.memory_bytes();
    s.memory.pmt_cache = bitmap_->memory_bytes() + bitmap_writer_->memory_bytes();
    for (const Shard* shard : shards_)
        shard->memory(s.memory.pmt_cache, s.memory.segments, s.memory.overlay);
    for (const Collector* collector : collectors_) s.memory.gc += collector->memory_bytes();
    if (scrubber_ != nullptr) s.memory.gc += scrubber_->memory_bytes() + healer_->memory_bytes();
    s.latency.read = summarize(requests_->latency(Op::read));
    s.latency.write = summarize(requests_->latency(Op::write));
    fill_io(s.io);
    fill_scrub(s.scrub);
    s.state = failed() ? "failed" : "open";
    if (failed()) {
        s.cause = cause();
        s.remedy = remedy();
    }
    s.read_only = read_only_;
    s.live = true;
    s.counters_incomplete = s.recovery.kind != "clean";
    assess_health(s);
    return s;
}

}  // namespace qlcshape
