// SPDX-License-Identifier: Apache-2.0
#include "engine/core.h"

#include <algorithm>

#include "base/assert.h"
#include "base/size_text.h"
#include "engine/monitor.h"
#include "placement/failures.h"
#include "recovery/snapshot_store.h"

namespace qlcshape {

Result<std::unique_ptr<Core>> Core::open(const Options& options,
                                         std::vector<std::unique_ptr<Device>> devices,
                                         const std::string& absent, Environment environment) {
    std::unique_ptr<Core> core(new Core(options, std::move(environment)));
    QS_TRY(core->start(std::move(devices), absent));
    return core;
}

Core::~Core() = default;

Status Core::start(std::vector<std::unique_ptr<Device>> devices, const std::string& absent) {
    const std::uint64_t begun = environment_.clock.now_ns();
    control_ = make_queue({}, IoQueue::Late::ended);
    readers_.set_clock(environment_.io_clock);
    auto discovery = discover(std::move(devices), absent, *control_);
    if (!discovery) return fail(discovery.error());
    const std::uint32_t most = discovery->superblock.parameters.max_shards;
    if (options_.shards < 1 || options_.shards > most) {
        return fail(Errc::invalid_argument, "shards is {}: the array was created for 1 to {}",
                    options_.shards, most);
    }
    if (options_.gc_threads < 1 ||
        options_.gc_threads > discovery->superblock.parameters.max_gc_threads) {
        return fail(Errc::invalid_argument, "gc_threads is {}: the array was created for 1 to {}",
                    options_.gc_threads, discovery->superblock.parameters.max_gc_threads);
    }
    const std::uint64_t least_cache = options_.shards * PageCache::kSetBytes;
    if (options_.pmt_cache_bytes < least_cache) {
        return fail(
            Errc::invalid_argument, "pmt_cache is {}: it must be at least {} with {} shards",
            size_text(options_.pmt_cache_bytes), at_least_text(least_cache), options_.shards);
    }
    read_only_ = options_.read_only || discovery->missing_qlc != 0;
    set_array(std::move(*discovery));
    QS_TRY(bring_up());
    recovery_seconds_ = static_cast<double>(environment_.clock.elapsed_ns(begun)) / 1e9;
    opened_ns_ = environment_.clock.now_ns();
    return {};
}

void Core::set_array(Discovery d) {
    array_ = context_of(d);
    superblock_ = std::move(d.superblock);
    members_ = std::move(d.members);
    array_.epoch = superblock_.epoch + 1;
    array_.epoch_key = environment_.random.next();
    array_.shards = options_.shards;
}

// Where writing goes on, on every QLC drive. Bands that are not free or open take no writes; nor
// does an open band after a crash, which recovery closes: strips beyond its frontier may be torn.
void Core::place_guards(const LoadedBands& loaded) {
    const ArrayLayout& l = array_.layout;
    const auto strips = static_cast<std::uint32_t>(l.superblock_record_bytes / l.p.strip_bytes);
    for (MemberDevice& m : members_) {
        if (m.device == nullptr || m.record.role != DeviceRole::qlc) continue;
        m.device->guard_shape(l.p.strip_bytes, l.p.band_bytes);
        ShapeGuard& guard = *m.device->guard();
        if (!m.fresh_unit) guard.set_position(m.unit, m.slot * strips);
        for (std::uint32_t i = 0; i < l.bands; ++i) {
            const BandRecord& r = loaded.records[i];
            const bool clean = superblock_.state == ArrayState::clean;
            if (r.state == BandState::free) guard.set_position(2 + i, 0);
            if (r.state == BandState::open && clean) guard.set_position(2 + i, r.segments);
        }
    }
}

// In this order: band table -> recovery, which calls stay_in_epoch() and begin_epoch() where the
// order of durable steps demands it -> workers, which go on from what recovery left (versions,
// patches, generations of band pages) -> the new epoch's first snapshot. Whoever fails on the way
// leaves an array that the next opening recovers.
Status Core::bring_up() {
    auto loaded = load_band_table(array_, *control_);
    if (!loaded) return fail(loaded.error());
    if (!read_only_) place_guards(*loaded);
    for (MemberDevice& m : members_) {
        if (read_only_ && m.device != nullptr) m.device->set_read_only();
    }
    bands_ = std::make_unique<BandTable>(array_.layout);
    gate_ = std::make_unique<SpaceGate>(array_.layout, *bands_);

    // Recovery uses a keeper of its own, on the control queue; the one that stays goes on from its
    // pages: each generation of a page goes to the place that the one before does not have.
    Counters counters;
    BandKeeper keeper(array_, *bands_, *gate_, loaded->generations, *control_, counters);
    ArrayContext crashed = array_;
    crashed.epoch = superblock_.epoch;
    crashed.epoch_key = superblock_.epoch_key;
    crashed.shards = superblock_.shards;
    LoadedSnapshot snapshot = load_snapshot(array_, superblock_.epoch, *control_);
    snapshot_generation_ = snapshot.snapshot ? snapshot.snapshot->generation : 0;
    for (const Device* scm : snapshot.behind) {
        log(options_, LogLevel::warning,
            "{}: it is older than the other scm drives; the rest is read from the qlc drives",
            scm->path());
    }
    const Team team = recovery_team();
    RecoveryInput input{array_,
                        crashed,
                        superblock_,
                        *loaded,
                        std::move(snapshot.snapshot),
                        read_only_,
                        environment_.counted_pages,
                        environment_.kept_findings,
                        environment_.version_gap,
                        *bands_,
                        keeper,
                        *gate_,
                        *control_,
                        team,
                        options_.pmt_cache_bytes,  // the cache is made later
                        counters,
                        options_.progress,
                        [this] { return stay_in_epoch(); },
                        [&](std::uint64_t next_version) {
                            return begin_epoch(next_version, keeper, superblock_.state);
                        }};
    auto recovered = recover(input);
    if (!recovered) return fail(recovered.error());
    if (!read_only_) QS_TRY(settle(keeper));
    loaded->generations = keeper.generations();
    recovered_ = std::move(*recovered);
    for (const std::string& warning : recovered_.report.warnings)
        log(options_, LogLevel::warning, "{}", warning);
    next_version_ = recovered_.next_version;
    superblock_.counters[static_cast<std::size_t>(Counter::used_blocks)] = recovered_.used_blocks;
    make_workers(std::move(*loaded));
    hand_out_patches();
    gate_->start();
    if (read_only_) {
        for (auto& w : workers_) {
            if (w->shard() != nullptr && !recovered_.blocks.empty())
                w->shard()->set_recovered(&recovered_.blocks);
        }
    } else {
        QS_TRY(complete_epoch());
    }
    for (const VolumeRecord& v : superblock_.volumes) {
        if (v.state != kVolumeDeleted) volumes_[v.name] = make_state(v);
    }
    return {};
}

// As many threads as will run afterwards. They end with the job: no shard or collector exists yet.
Team Core::recovery_team() {
    const std::uint32_t parts = options_.shards + options_.gc_threads;
    return {parts, [this, parts](const TeamJob& job) {
                environment_.in_parallel(parts, [&](std::uint32_t part) {
                    const auto queue = make_queue({}, IoQueue::Late::ended);
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
    for (auto& worker : workers_) {
        Shard* shard = worker->shard();
        if (shard == nullptr) continue;
        std::vector<Patch>& patches = of_shard[shard->index()];
        if (read_only_)
            shard->set_read_only(std::move(patches), recovered_.whole_table);
        else
            shard->set_patches(std::move(patches));
    }
}

void Core::make_workers(LoadedBands loaded) {
    const std::uint64_t sets = options_.pmt_cache_bytes / PageCache::kSetBytes / options_.shards;
    std::vector<MapPort*> ports;
    std::vector<Shard*> shards;
    for (std::uint32_t i = 0; i < options_.shards; ++i) {
        Buffer memory(Shard::memory_bytes(array_.layout));
        auto worker = std::make_unique<Worker>(
            "shard" + std::to_string(i), make_queue({memory.span()}, IoQueue::Late::reported));
        const Shard::Shared shared{array_, *bands_, *gate_, next_version_};
        worker->own(std::make_unique<Shard>(shared, i, sets, worker->queue(), std::move(memory)));
        ports.push_back(&worker->shard()->map_port());
        shards.push_back(worker->shard());
        workers_.push_back(std::move(worker));
    }
    if (!read_only_) {
        for (std::uint32_t i = 0; i < options_.gc_threads; ++i) {
            Buffer memory(Collector::buffer_bytes(array_.layout));
            auto worker = std::make_unique<Worker>(
                "gc" + std::to_string(i), make_queue({memory.span()}, IoQueue::Late::reported));
            worker->own(std::make_unique<Collector>(array_, *bands_, *gate_, ports, worker->queue(),
                                                    worker->counters(), std::move(memory)));
            if (i == 0) {
                keeper_ = std::make_unique<BandKeeper>(array_, *bands_, *gate_,
                                                       std::move(loaded.generations),
                                                       worker->queue(), worker->counters());
                snapshotter_ = std::make_unique<Snapshotter>(
                    Snapshotter::Parts{array_, *bands_, *keeper_, *gate_, next_version_, shards,
                                       recovered_.used_blocks, snapshot_generation_ + 1,
                                       snapshot_interval()},
                    worker->queue(), worker->counters());
                worker->run_keeper(keeper_.get(), snapshotter_.get());
            }
            workers_.push_back(std::move(worker));
        }
        bands_->set_alarm([this] { wake_workers(); });
    }
    requests_ = std::make_unique<RequestTable>(array_, std::move(shards), kMaxRequests,
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

// Waits until a keeper on the control queue has nothing left to do, or does nothing any more since
// a drive failed. Afterwards no page of the band table is being written, so the caller may.
Status Core::settle(BandKeeper& keeper) {
    while ((!keeper.idle() && !keeper.failed()) || control_->in_flight() != 0) {
        const bool any = keeper.poll();
        if (control_->poll() == 0 && !any) control_->wait(1000);
    }
    if (!keeper.failed()) return {};
    return fail(
        Errc::io_error,
        "array {}: an scm drive failed while the band table was written: {}; open the array "
        "again",
        superblock_.name, drive_failures(array_));
}

// The new epoch's first snapshot: the table is complete now, or the one before stays in force, with
// its contents under the new epoch, until the patches are in the table.
Status Core::write_first_snapshot() {
    Snapshot s;
    if (recovered_.base) {
        s = *recovered_.base;
    } else {
        s.next_version = next_version_;
        bands_->published_now(s);
    }
    s.epoch = array_.epoch;
    s.generation = snapshot_generation_ + 1;
    s.used_blocks = recovered_.used_blocks;
    return write_snapshot(array_, s, *control_);
}

// RecoveryInput::reaffirm_epoch. A recovery that was cut off may have written a superblock of the
// next epoch to a drive or two that could not be read correctly this time. That one has the next
// generation. So this append skips a number: write_superblock() takes the one after it, and the
// record of the present epoch is the newest on any drive.
Status Core::stay_in_epoch() {
    ++superblock_.generation;
    QS_TRY(write_superblock());
    superblock_.complete_generation = superblock_.generation;
    return {};
}

// RecoveryInput::begin_epoch. All that is kept is in segments; from here on the new epoch counts.
// Until its first snapshot is there the newest of an earlier epoch does for the table.
//
//   settle()        the keeper rests: no page of the band table is being written
//   superblock      E + 1 counts from its first whole copy on; the TPS of E is void
//   epoch_begun()   from here on band records say what recovery decided on open bands
//   band table      ... and all of these decisions are made durable
//
// The decisions must not come before the superblock. A band would then be closed before segments
// that were committed again in bands of E + 1; after a cut those bands are void, and what the
// segments held would be lost. recover.h has a picture of an epoch across crashes.
Status Core::begin_epoch(std::uint64_t next_version, BandKeeper& keeper, ArrayState before) {
    QS_TRY(settle(keeper));
    superblock_.state = ArrayState::open;
    superblock_.epoch = array_.epoch;
    superblock_.epoch_key = array_.epoch_key;
    superblock_.shards = array_.shards;
    superblock_.next_version = next_version;
    superblock_.next_band_sequence = bands_->next_sequence();
    QS_TRY(write_superblock());
    superblock_.complete_generation = superblock_.generation;
    // Only now may the decisions of recovery stand on media.
    bands_->epoch_begun();
    return before == ArrayState::clean ? Status{} : write_band_table(keeper);
}

// The table is as it must be. The second superblock says of the first that every member has it: a
// member left behind is then detected at the next opening. The snapshot comes first: a cut between
// the two only leaves a superblock that promises less than there is.
Status Core::complete_epoch() {
    QS_TRY(write_first_snapshot());
    superblock_.next_version = recovered_.next_version;
    QS_TRY(write_superblock());
    superblock_.complete_generation = superblock_.generation;
    return {};
}

// Under control_mutex_, or while opening. After one that failed it is not known where on each drive
// the next one goes: the engine stops.
Status Core::write_superblock() {
    if (gate_->failed()) {
        return fail(Errc::io_error, "array {}: it stopped {}; close it and open it again",
                    superblock_.name, cause());
    }
    const Status written = append_superblock(superblock_, members_, *control_);
    if (written) return {};
    gate_->fail(*control_);
    wake_workers();
    return written;
}

Status Core::write_band_table(BandKeeper& keeper) {
    Buffer block(kBlockBytes);
    auto generations = keeper.generations();
    for (std::uint64_t page = 0; page < array_.layout.band_table_pages; ++page) {
        const std::uint64_t generation = generations[page] + 1;
        encode_band_page(array_, *bands_, page, generation, block.data());
        std::vector<Io> ios(array_.scm.size());
        for (std::size_t i = 0; i < ios.size(); ++i) {
            ios[i].kind = IoKind::write;
            ios[i].point = PersistencePoint::band_table_write;
            ios[i].device = array_.scm[i];
            ios[i].offset = array_.layout.band_page_offset(page, generation & 1);
            ios[i].bytes = kBlockBytes;
            ios[i].data = block.data();
        }
        QS_TRY(run(*control_, ios));
        generations[page] = generation;
    }
    keeper.set_generations(std::move(generations));
    return flush_drives(array_.scm, *control_, PersistencePoint::band_table_flush);
}

// A request that is taken is counted until its end (RequestTable::answer()).
Status Core::submit(VolumeState& volume, Request request) {
    in_flight_.fetch_add(1);
    Status taken = take(volume, std::move(request));
    if (!taken) in_flight_.fetch_sub(1);
    return taken;
}

Status Core::take(VolumeState& volume, Request request) {
    if (stopped_) return fail(Errc::closed, "volume {}: the engine is closing", volume.name);
    if (halted()) {
        return fail(Errc::io_error, "volume {}: the array stopped {}", volume.name, cause());
    }
    const bool changes =
        request.op != Op::read && request.op != Op::flush && request.op != Op::mapped;
    if (read_only_ && changes) return fail_read_only(volume.name);
    return requests_->begin(volume, std::move(request));
}

bool Core::read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes, void* data,
                       IoQueue& queue, DirectRead& direct) {
    in_flight_.fetch_add(1);
    const bool done = !stopped_ && !halted() &&
                      requests_->read_inline(volume, offset, bytes, data, queue, direct);
    in_flight_.fetch_sub(1);
    return done;
}

bool Core::read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes, void* data) {
    in_flight_.fetch_add(1);
    bool done = false;
    if (DirectReaders::Reader* const reader = stopped_ || halted() ? nullptr : readers_.take()) {
        done = requests_->read_inline(volume, offset, bytes, data, reader->queue, reader->direct);
        readers_.give_back(reader);
    }
    in_flight_.fetch_sub(1);
    return done;
}

// Any thread. A failure is never taken back: only a new opening is sure of what is on the drives.
bool Core::failed() const {
    return halted() ||
           std::any_of(workers_.begin(), workers_.end(), [](const auto& w) { return w->failed(); });
}

std::string Core::cause() const {
    if (halted()) return halted_why_;
    switch (gate_->ended()) {
        case SpaceGate::End::space:
            return "because space ran out: bands that can't be read or erased take it";
        case SpaceGate::End::table:
            return "after a page of the mapping table on an scm drive could not be read";
        case SpaceGate::End::drive:
        case SpaceGate::End::none:
            break;
    }
    const bool known = gate_->failed() && gate_->ended_by().error_number != 0;
    return "after a drive failed (" +
           (known ? describe_failure(gate_->ended_by()).message : drive_failures(array_)) + ")";
}

// stopped_ first: requests that come later are refused, so the number in flight can reach 0. The
// phase may become `halted` at any time, by another thread: it is never moved on from that.
bool Core::advance_close() {
    stopped_ = true;
    const Phase now = phase();
    const bool none_waits = requests_in_flight() == 0;
    const bool reached = now == Phase::running ? none_waits : all_reached(now);
    if (!reached) return false;
    if (now == Phase::halted) return none_waits;
    if (now == Phase::flushing) return true;
    int before = static_cast<int>(now);
    if (phase_.compare_exchange_strong(before, before + 1)) wake_workers();
    return false;
}

void Core::wake_workers() {
    for (auto& w : workers_) w->wake();
}

// No worker runs any more. Band table before the superblock that says `clean`: from that one on an
// opening believes the band table, without a look at the bands.
Status Core::finish_close() {
    if (read_only_ && !halted()) return {};
    if (failed()) {
        return fail(Errc::io_error,
                    "array {}: it could not be closed cleanly {}; everything acknowledged is safe, "
                    "and the next opening recovers it",
                    superblock_.name, cause());
    }
    std::lock_guard lock(control_mutex_);
    QS_TRY(write_band_table(*keeper_));
    superblock_.state = ArrayState::clean;
    superblock_.next_version = next_version_;
    superblock_.next_band_sequence = bands_->next_sequence();
    for (std::size_t i = 0; i < static_cast<std::size_t>(Counter::count); ++i) {
        superblock_.counters[i] = total(static_cast<Counter>(i));
    }
    return write_superblock();
}

void Core::release() {
    QS_ASSERT(stopped_);  // callers that still come count themselves in flight, and are refused
    QS_ASSERT(!halted());
    readers_.clear();
    deleted_.clear();
    volumes_.clear();
    requests_.reset();
    workers_.clear();
    snapshotter_.reset();
    keeper_.reset();
    gate_.reset();
    bands_.reset();
    recovered_ = {};
    members_.clear();
    control_.reset();
}

std::uint64_t Core::total(Counter counter) const {
    std::uint64_t sum = superblock_.counters[static_cast<std::size_t>(counter)];
    if (counter == Counter::open_milliseconds && !read_only_) {
        sum += environment_.clock.elapsed_ns(opened_ns_) / 1'000'000;
    }
    sum += requests_->counted_here(counter);
    for (const auto& w : workers_) {
        sum += w->counters().get(counter);
        if (w->shard() != nullptr) sum += w->shard()->counters().get(counter);
    }
    return sum;
}

}  // namespace qlcshape
