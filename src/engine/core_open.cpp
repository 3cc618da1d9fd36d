// SPDX-License-Identifier: Apache-2.0
// Opening: from drives to workers that can be polled.
#include <algorithm>
#include <utility>

#include "base/canary.h"
#include "base/size_text.h"
#include "engine/core.h"
#include "engine/monitor.h"
#include "meta/membership.h"
#include "meta/resilver.h"
#include "meta/snapshot_store.h"

namespace qlcshape {

namespace {

// What came of it that drives were left out.
Error with_reasons(Error error, const std::vector<Unusable>& without) {
    for (const Unusable& u : without) {
        const bool known = error.message.find(u.why.message) != std::string::npos;
        if (u.why.code != Errc::missing_device && !known)
            error.message += " (" + u.why.message + ")";
    }
    return error;
}

}  // namespace

// A drive that is ill is not known to be so before it is used, and then superblocks may have been
// written. So the opening is begun anew: as after a power cut, with a drive missing.
Result<std::unique_ptr<Core>> Core::open(const Options& options,
                                         std::vector<std::unique_ptr<Device>> devices,
                                         const std::vector<Unusable>& absent,
                                         const Environment& environment) {
    std::vector<Unusable> without = absent;
    for (;;) {
        std::unique_ptr<Core> core(new Core(options, environment));
        core->absent_ = without;
        const Status started = core->start(devices);
        if (started) {
            for (const Unusable& u : core->absent_) {
                if (u.why.code == Errc::missing_device) continue;  // status names those
                log(options, LogLevel::warning, "{}; the array is open without this drive",
                    u.why.message);
            }
            return core;
        }
        const bool needed = core->needs_unwilling();
        for (MemberDevice& m : core->members_) {
            if (m.device != nullptr) devices.push_back(std::move(m.device));
        }
        core.reset();
        const bool any = leave_out_unwilling(devices, without);
        if (needed || !any) return fail(with_reasons(started.error(), without));
    }
}

// Whether more of those that are known are missing or fail than it can do without.
bool Core::needs_unwilling() const {
    std::size_t qlc = 0;
    ScmSet scm;
    for (const MemberDevice& m : members_) {
        const bool good = m.device != nullptr && !m.device->unwilling();
        if (m.record.role == DeviceRole::scm)
            scm[m.record.index] = good && m.record.state == MemberState::in;
        else
            qlc += good ? 0 : 1;
    }
    const ArrayParameters& p = array_.layout.p;
    return qlc + p.data_strips > p.qlc_count ||
           (!members_.empty() && !array_.layout.pmt_whole_on(scm));
}

Status Core::start(std::vector<std::unique_ptr<Device>>& devices) {
    opened_ns_ = environment_.clock.now_ns();
    name_spares();
    constexpr std::size_t kReasonBytes = 1024;
    halted_why_.reserve(kReasonBytes);
    control_ = make_queue({}, IoQueue::Late::copied);
    auto discovery = discover(std::move(devices), absent_, *control_);
    if (!discovery) return fail(discovery.error());
    std::ranges::move(discovery->kept_out, std::back_inserter(absent_));
    QS_TRY(check_options(discovery->superblock.parameters));
    read_only_ = options_.read_only;
    set_array(std::move(*discovery));
    QS_TRY(bring_up());
    recovery_seconds_ = static_cast<double>(environment_.clock.elapsed_ns(opened_ns_)) / 1e9;
    return {};
}

// What the array file asks for, against what the array was created for.
Status Core::check_options(const ArrayParameters& p) const {
    const std::uint32_t most = p.max_shards;
    if (options_.shards < 1 || options_.shards > most) {
        return fail(Errc::invalid_argument, "shards is {}: the array was created for 1 to {}",
                    options_.shards, most);
    }
    if (options_.gc_threads < 1 || options_.gc_threads > p.max_gc_threads) {
        return fail(Errc::invalid_argument, "gc_threads is {}: the array was created for 1 to {}",
                    options_.gc_threads, p.max_gc_threads);
    }
    const std::uint64_t least_cache = options_.shards * PageCache::kSetBytes;
    if (options_.pmt_cache_bytes < least_cache) {
        return fail(
            Errc::invalid_argument, "pmt_cache is {}: it must be at least {} with {} shards",
            size_text(options_.pmt_cache_bytes), at_least_text(least_cache), options_.shards);
    }
    return {};
}

void Core::set_array(Discovery d) {
    array_ = context_of(d);
    superblock_ = std::move(d.superblock);
    members_ = std::move(d.members);
    if (!read_only_) {
        for (const MemberDevice& m : members_) {
            const bool qlc = m.record.role == DeviceRole::qlc;
            if (qlc && m.device != nullptr && m.record.state == MemberState::out)
                returned_.push_back(m.record);
        }
        members_changed_ = take_stock(superblock_, members_, d.on_scm);
        on_qlc_ = d.on_scm;
    }
    for (const MemberDevice& m : members_) {
        if (m.device != nullptr && m.record.drains != 0) m.device->set_draining();
    }
    array_.epoch = superblock_.epoch + 1;
    array_.epoch_key = environment_.random.next();
    array_.shards = options_.shards;
}

// Columns of bands that are closed take no writes; what is erased takes them from its beginning.
void Core::place_guard(MemberDevice& m) const {
    const ArrayLayout& l = array_.layout;
    const auto strips = static_cast<std::uint32_t>(l.superblock_record_bytes / l.p.strip_bytes);
    m.device->guard_shape(l.p.strip_bytes, l.p.band_bytes);
    if (!m.next.fresh_unit) m.device->guard()->set_position(m.next.unit, m.next.slot * strips);
}

// Where writing goes on, on every QLC drive. Columns of bands that are not open take no writes; nor
// does an open band after a crash, which recovery closes: strips beyond its frontier may be torn.
// What no band names is erased, and takes writes from its beginning.
void Core::place_guards(const LoadedBands& loaded) {
    const ArrayLayout& l = array_.layout;
    for (MemberDevice& m : members_) {
        if (m.device == nullptr || m.record.role != DeviceRole::qlc) continue;
        place_guard(m);
        ShapeGuard& guard = *m.device->guard();
        const bool clean = superblock_.state == ArrayState::clean;
        for (std::uint32_t i = 0; clean && i < l.bands; ++i) {
            const BandRecord& r = loaded.records[i];
            for (std::uint32_t c = 0; r.state == BandState::open && c < l.width(); ++c) {
                const Column place = array_.columns->of(BandId(i), c);
                if (place.there() && place.member == m.record.index)
                    guard.set_position(place.slot, r.segments);
            }
        }
        const std::vector<bool> named = named_slots(array_, loaded.records, m.record.index);
        for (std::uint32_t slot = kSuperblockUnits; slot < l.drive_slots(); ++slot) {
            if (!named[slot]) guard.set_position(slot, 0);
        }
    }
}

// In this order. Recovery calls reaffirm_epoch() and begin_epoch() where the order of durable steps
// demands it; workers go on from what recovery left (versions, patches, generations of band pages).
// A step that fails is undone by destruction, and leaves an array that the next opening recovers.
Status Core::bring_up() {
    auto loaded = load_band_table(array_, *control_);
    if (!loaded) return fail(loaded.error());
    QS_TRY(prepare_drives(*loaded));
    bands_ = std::make_unique<BandTable>(array_.layout);
    gate_ = std::make_unique<SpaceGate>(array_.layout, *bands_);
    QS_TRY(recover_contents(*loaded));
    make_workers(std::move(*loaded));
    readers_.set_up(environment_.io_clock, wants_rings());
    hand_out_patches();
    gate_->start();
    if (!read_only_) {
        QS_TRY(complete_epoch());
        QS_TRY(resilver());
        watch_drives();
    }
    begin_rebuild();
    Superblock shown = superblock_;
    show(shown);
    const Locked lock(shown_mutex_);
    for (const VolumeRecord& v : superblock_.volumes) {
        if (v.state != kVolumeDeleted) volumes_[v.name] = make_state(superblock_, v);
    }
    return {};
}

// From here on those that can be done without may leave.
void Core::watch_drives() {
    const bool mirrored = array_.layout.p.pmt_copies > 1;
    for (const MemberDevice& m : members_) {
        const bool qlc = m.record.role == DeviceRole::qlc;
        if (m.device == nullptr || !(qlc || mirrored)) continue;
        m.device->set_watched();
        if (!qlc) m.device->set_mirror();
    }
}

// SCM drives that were out get all that the others have, and are in. One that does not take it
// stays out.
Status Core::resilver() {
    for (std::size_t i = 0; i < members_.size(); ++i) {
        MemberRecord& m = superblock_.members[i];
        Device* const device = members_[i].device.get();
        if (m.role != DeviceRole::scm || m.state == MemberState::in || device == nullptr) continue;
        Status copied;
        if (!canary(Canary::returned_scm_taken))
            copied =
                copy_scm_drive(array_, *bitmap_, {m.index, *device}, *control_, options_.progress);
        if (!copied) {
            device->set_out();
            log(options_, LogLevel::warning, "scm drive {} stays out: {}", m.index,
                copied.error().message);
            continue;
        }
        comes_in(m);
        members_[i].record = m;
        members_[i].comes_in = true;
        array_.scm.set(m.index, device);
        log(options_, LogLevel::warning,
            "{}: scm drive {} was out, and is in again: it has everything that the others have",
            device->path(), m.index);
        QS_TRY(write_superblock());  // of each: MemberDevice::comes_in
    }
    return {};
}

// Refusals come before anything is written.
Status Core::prepare_drives(const LoadedBands& loaded) {
    if (read_only_) {
        for (MemberDevice& m : members_) {
            if (m.device != nullptr) m.device->set_read_only();
        }
        return {};
    }
    QS_TRY(refuse_if_unreadable(array_, loaded.records, superblock_.epoch));
    for (const MemberRecord& m : returned_)
        QS_TRY(refuse_if_older(array_, loaded.records, m.index, *control_));
    place_guards(loaded);
    end_draining_if_needed();
    return {};
}

// What a drive that is back holds in slots that no band names is of bands that were freed while it
// was out. It is erased before a superblock says that the drive is in, and before recovery may open
// bands there. One that can't be erased stays out, as it was.
Status Core::take_back(const LoadedBands& loaded) {
    for (const MemberRecord& was : std::exchange(returned_, {})) {
        Device& device = *array_.qlc[was.index];
        const auto progress = [&](double percent) {
            if (options_.progress) options_.progress("erasing what a drive missed", percent);
        };
        const Status erased = erase_unnamed(array_, loaded.records, was.index, *control_, progress);
        if (erased) continue;
        device.set_out();
        end_draining_if_needed();
        for (MemberRecord& m : superblock_.members) {
            if (m.uuid == was.uuid) m = was;
        }
        QS_TRY(refuse_if_unreadable(array_, loaded.records, superblock_.epoch));
        if (array_.drives_in().count() < array_.layout.p.data_strips) return erased;
        log(options_, LogLevel::warning, "qlc drive {} stays out, since it can't be erased: {}",
            was.index, erased.error().message);
    }
    return {};
}

std::optional<Snapshot> Core::newest_snapshot() {
    LoadedSnapshot snapshot = load_snapshot(array_, superblock_.epoch, *control_);
    snapshot_generation_ = snapshot.snapshot ? snapshot.snapshot->generation : 0;
    // Before the first superblock of this opening: from then on these are in all of them.
    raise_counters(superblock_.counters, snapshot.counters);
    for (const Device* scm : snapshot.behind) {
        log(options_, LogLevel::warning,
            "{}: it is older than the other scm drives; the rest is read from the qlc drives",
            scm->path());
    }
    return std::move(snapshot.snapshot);
}

// False where a part of it is lost.
bool Core::load_bitmap() {
    bitmap_ = std::make_unique<TableBitmap>(array_.layout);
    LoadedBitmap loaded = qlcshape::load_bitmap(array_, *bitmap_, *control_);
    bitmap_writer_ =
        std::make_unique<BitmapWriter>(array_, *bitmap_, std::move(loaded.generations));
    for (const std::uint64_t page : loaded.lost) {
        log(options_, LogLevel::warning,
            "{} at offset {}: page {} of the table's bitmap is damaged, in both places and on "
            "every "
            "scm drive; the table is rebuilt from the qlc drives",
            array_.an_scm_drive().path(), array_.layout.bitmap_page_offset(page, 0), page);
    }
    return loaded.lost.empty();
}

// Recovery uses a keeper of its own, on the control queue; the one that stays goes on from its
// pages: each generation of a page goes to the place that the one before does not have.
Status Core::recover_contents(LoadedBands& loaded) {
    Counters counters;
    BandKeeper keeper(array_, *bands_, *gate_, loaded.generations, *control_, counters);
    ArrayContext crashed = array_;
    crashed.epoch = superblock_.epoch;
    crashed.epoch_key = superblock_.epoch_key;
    crashed.shards = superblock_.shards;
    const Team team = recovery_team();
    const bool whole = load_bitmap();
    RecoveryInput input{
        .array = array_,
        .crashed = crashed,
        .superblock = superblock_,
        .loaded = loaded,
        .snapshot = newest_snapshot(),
        .bitmap = *bitmap_,
        .bitmap_lost = !whole,
        .members_changed = members_changed_,
        .read_only = read_only_,
        .counted_pages = environment_.counted_pages,
        .kept_findings = environment_.kept_findings,
        .version_gap = environment_.version_gap,
        .bands = *bands_,
        .keeper = keeper,
        .gate = *gate_,
        .queue = *control_,
        .team = team,
        .memory_bytes = options_.pmt_cache_bytes,  // the cache is made later
        .counters = counters,
        .progress = options_.progress,
        .take_back = [&] { return take_back(loaded); },
        .reaffirm_epoch = [&] { return reaffirm_epoch(); },
        .begin_epoch =
            [&](std::uint64_t next_version) {
                return begin_epoch(next_version, keeper, superblock_.state);
            },
    };
    auto recovered = recover(input);
    if (!recovered) return fail(recovered.error());
    if (!read_only_) QS_TRY(settle(keeper));
    loaded.generations = keeper.generations();
    recovered_ = std::move(*recovered);
    for (const std::string& warning : recovered_.report.warnings)
        log(options_, LogLevel::warning, "{}", warning);
    next_version_ = recovered_.next_version;
    for (std::size_t i = 0; i < static_cast<std::size_t>(Counter::count); ++i)
        superblock_.counters[i] += counters.get(static_cast<Counter>(i));
    superblock_.counters[static_cast<std::size_t>(Counter::used_blocks)] = recovered_.used_blocks;
    return {};
}

// As many threads as will run afterwards. They end with the job: no shard or collector exists yet.
Team Core::recovery_team() {
    const std::uint32_t parts = options_.shards + options_.gc_threads;
    return {parts, [this, parts](const TeamJob& job) {
                environment_.in_parallel(parts, [&](std::uint32_t part) {
                    const auto queue = make_queue({}, IoQueue::Late::copied);
                    job(part, *queue);
                });
            }};
}

// To the shard that owns the page: it enters them when it first reads it. Order by LBA stays.
void Core::hand_out_patches() {
    std::vector<std::vector<Patch>> of_shard(array_.shards);
    for (const Patch& p : recovered_.patches)
        of_shard[array_.shard_of(page_of(p.lba))].push_back(p);
    recovered_.patches = {};
    for (Shard* shard : shards_) {
        std::vector<Patch>& patches = of_shard[shard->index()];
        if (!read_only_) {
            shard->set_patches(std::move(patches));
            continue;
        }
        shard->set_read_only(std::move(patches), recovered_.whole_table);
        if (!recovered_.blocks.empty()) shard->set_recovered(&recovered_.blocks);
    }
}

std::unique_ptr<IoQueue> Core::worker_queue(const Buffer& memory) {
    auto queue = make_queue({memory.span()}, IoQueue::Late::kept);
    queue->wait_for_mirrors();
    return queue;
}

void Core::make_workers(LoadedBands loaded) {
    const std::uint64_t sets = options_.pmt_cache_bytes / PageCache::kSetBytes / options_.shards;
    std::vector<MapPort*> ports;
    for (std::uint32_t i = 0; i < options_.shards; ++i) {
        Buffer memory(Shard::memory_bytes(array_.layout));
        auto worker = std::make_unique<Worker>("shard" + std::to_string(i), worker_queue(memory));
        const Shard::Shared shared{array_, *bands_, *gate_, *bitmap_, next_version_};
        Shard& shard = worker->own(
            std::make_unique<Shard>(shared, i, sets, worker->queue(), std::move(memory)));
        worker->hold_in_poll(shard.lock());
        ports.push_back(&shard.map_port());
        shards_.push_back(&shard);
        workers_.push_back(std::move(worker));
    }
    if (!read_only_) {
        for (std::uint32_t i = 0; i < options_.gc_threads; ++i) {
            Buffer memory(Collector::buffer_bytes(array_.layout));
            auto worker = std::make_unique<Worker>("gc" + std::to_string(i), worker_queue(memory));
            collectors_.push_back(&worker->own(
                std::make_unique<Collector>(array_, *bands_, *gate_, ports, worker->queue(),
                                            worker->counters(), std::move(memory))));
            if (i == 0) {
                keeper_ = &worker->own(std::make_unique<BandKeeper>(
                    array_, *bands_, *gate_, std::move(loaded.generations), worker->queue(),
                    worker->counters()));
                snapshotter_ = &worker->own(std::make_unique<Snapshotter>(
                    Snapshotter::Parts{array_, *bands_, *keeper_, *gate_, *bitmap_writer_,
                                       next_version_, shards_, recovered_.used_blocks,
                                       snapshot_generation_ + 1, snapshot_interval(),
                                       [this] { return lifetime(); }},
                    worker->queue(), worker->counters()));
                healer_ = &worker->own(std::make_unique<Healer>(
                    array_, *bands_, *gate_, *keeper_, worker->queue(), worker->counters()));
                scrubber_ = &worker->own(std::make_unique<Scrubber>(
                    array_, *bands_, *gate_, worker->queue(), worker->counters(),
                    superblock_.counters[static_cast<std::size_t>(Counter::scrub_bands)]));
                scrub_pace_ = std::make_unique<ScrubPace>(
                    *scrubber_, array_.layout, options_.scrub_days, environment_.clock.now_ns());
            }
            workers_.push_back(std::move(worker));
        }
        bands_->set_alarm([this] { wake_workers(); });
    }
    requests_ = std::make_unique<RequestTable>(array_, *gate_, shards_, kMaxRequests,
                                               environment_.clock, in_flight_);
}

// Each writes back at most the dirty pages of the cache. Sixteen times as many bytes in segments,
// and at least as many in records of the TPS, come to a few percent. With a cache of 256 MiB and
// segments of 1 MiB: 4 GiB, 4096 segments. Recovery reads at most what two intervals placed.
std::uint64_t Core::snapshot_interval() const {
    if (environment_.snapshot_interval != 0) return environment_.snapshot_interval;
    constexpr std::uint64_t kTimes = 16, kLeast = 32, kMostBytes = 32 * GiB;
    const std::uint64_t pages =
        std::min(options_.pmt_cache_bytes, array_.layout.pmt_pages * kBlockBytes);
    return std::max(kLeast, std::min(kTimes * pages, kMostBytes) / array_.layout.segment_bytes);
}

}  // namespace qlcshape
