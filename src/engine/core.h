// SPDX-License-Identifier: Apache-2.0
// An open array without its threads: every part wired together, and the workers that move it. The
// engine runs the workers on threads; a simulator polls them in an order of its own. Opening,
// closing and changes of volumes block, on the caller's thread.
//
//   what                                        who touches it
//   workers_: shards, collectors, keeper, ...   each worker its own thread; docs/architecture.md
//   bands_, gate_, next_version_                all of them: a mutex and atomics of their own
//   requests_                                   any thread begins, shards' threads end
//   superblock_, members_, volumes_, control_   one caller at a time, under control_mutex_
//   phase_, stopped_, in_flight_                any thread; how callers and closing meet
//   recovered_, array_, options_                set while opening, constant afterwards; but see
//                                               core_replace.cpp
//
// While opening there are no other threads but recovery's team, so no lock is taken.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/random.h"
#include "engine/direct_readers.h"
#include "engine/request_table.h"
#include "engine/volume_table.h"
#include "engine/worker.h"
#include "gc/collector.h"
#include "meta/bitmap_store.h"
#include "meta/superblock_store.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"
#include "recovery/recover.h"
#include "recovery/snapshotter.h"
#include "recovery/table_build.h"
#include "upkeep/healer.h"
#include "upkeep/scrub_pace.h"

namespace qlcshape {

// What an open array takes from outside: so that under a simulator one seed decides all of it, and
// gives the same history each time.
struct Environment {
    Clock& clock;
    Random& random;
    // Makes a queue; a simulator sets what the queue does instead of sleeping.
    std::function<std::unique_ptr<IoQueue>(std::vector<std::span<std::byte>>)> make_queue;
    // Runs parts of a job at the same time, or as if.
    std::function<void(std::uint32_t parts, const std::function<void(std::uint32_t part)>&)>
        in_parallel;
    // Segments between two snapshots of the PMT; 0: by the size of cache and table.
    std::uint64_t snapshot_interval = 0;
    // Pages of a table that recovery brings up to date and counts before it returns. Of a larger
    // one pages are patched when they are read, and counts are hints.
    std::uint64_t counted_pages = 65536;
    // What segments say that recovery keeps at once: with more it makes several passes.
    std::uint64_t kept_findings = kTableBuildBytes / sizeof(Finding);
    // Versions that a recovery passes over, above all that it saw; see kVersionGap.
    std::uint64_t version_gap = kVersionGap;
    // How long a drive may keep a transfer. Null: as long as it likes.
    IoClock* io_clock = nullptr;
};

// Of a volume, or the end of one, to which there is a handle: refused is `busy`. A program may take
// from itself what it uses (its handles then get errors); another process may not.
enum class Loss : std::uint8_t { allowed, refused };

class Core {
  public:
    static constexpr std::uint32_t kMaxRequests = 1024;

    // `devices`: those that are there. `absent` names the others, for messages. One that fails
    // meanwhile is left out as if it were missing, if the array can do without.
    static Result<std::unique_ptr<Core>> open(const Options& options,
                                              std::vector<std::unique_ptr<Device>> devices,
                                              const std::vector<Unusable>& absent,
                                              const Environment& environment);
    ~Core();

    // --- the data plane ---
    const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }
    Phase phase() const { return static_cast<Phase>(phase_.load(std::memory_order_acquire)); }
    Status submit(VolumeState& volume, Request request);
    // See RequestTable::read_inline().
    bool read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes, void* data,
                     IoQueue& queue, DirectRead& direct);
    // The same with a queue of its own.
    bool read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes, void* data);
    bool read_only() const { return read_only_; }
    bool failed() const;
    // Why it stopped, for messages: "after a drive failed (which, what, errno)". Where failed().
    std::string cause() const;
    std::string remedy() const;  // what helps then
    const std::string& name() const { return superblock_.name; }
    std::uint32_t requests_in_flight() const { return in_flight_.load(); }

    // --- drives that don't answer ---
    // To be called now and then, by one thread. Where a drive keeps a transfer for too long, or
    // nothing moves any more, everything is halted: when all workers know, requests that have not
    // ended get an error, and their memory is touched no more. New ones are refused. What the drive
    // may still write to stays where it is.
    void watch();
    // Likewise, by another thread: QLC drives that take no writes leave the array, or it ends; and
    // when a rebuild has ended the drives are told. May write superblocks, so watch() may find that
    // it takes too long.
    void look_at_drives();
    // Then it must not go: drives may still use its memory.
    bool halted() const { return phase() == Phase::halted; }
    // A worker or a reader is held fast inside the kernel, by a call that does not end: closing
    // can't wait for it.
    bool held_fast() const;

    // `which`: the path of a drive, or its UUID. It is out from now on, and stays out until another
    // takes its place. Refused where something could not be read without it. core_leave.cpp
    Result<MemberRecord> fail_drive(const std::string& which);

    // Of a QLC drive: what it has moves to the others, without losing protection, where they have
    // room, else `no_space`; or that ends. When nothing is left on it, or of one that is out and
    // that no band names, its place becomes vacant. core_drain.cpp
    Result<MemberRecord> drain_drive(const std::string& which, bool stop);
    Result<MemberRecord> remove_drive(const std::string& which);

    // --- a drive is replaced while the array is open; core_replace.cpp, core_fill.cpp ---
    // `old`: the path of a drive, or its UUID. Takes `fresh`, and erases it: may take long. What is
    // refused has changed nothing in the array. Afterwards advance_replace() until it is true, with
    // the workers running, and finish_replace() at once then, since requests may wait for that: it
    // has the outcome, and which drive it is. One at a time.
    Status begin_replace(const std::string& old, std::unique_ptr<Device> fresh, bool force);
    bool advance_replace();
    Result<MemberRecord> finish_replace();

    // --- a drive that is out, or was missing, comes back while the array is open; core_return.cpp
    // Where such drives may be found: nothing of what they were told is under way any more, and
    // they are not locked. One caller, now and then: a step at a time.
    std::vector<std::string> paths_to_return();
    // As begin_replace(), of a drive that is out: it keeps what it has.
    Status begin_return(std::unique_ptr<Device> again);

    // --- a spare takes the place of a drive that is lost (spares.h); any thread ---
    // Members that the array does without.
    struct Lost {
        Uuid uuid;
        DeviceRole role{};
        std::uint32_t index = 0;
        bool failed = false;  // it was taken out by fail_drive()
    };
    std::vector<Lost> lost_drives() const;
    // Those that hold nothing yet, as stats() shows them.
    std::vector<DeviceStatus> spares() const;
    void note_spare(const DeviceStatus& spare);

    // --- what a lost QLC drive had is rebuilt on the other drives; core_spread.cpp ---
    // Where they have room, else `no_space`. Then advance_spreading() until it is true, with the
    // workers running: from there on the rebuild is under way. Not while a drive is replaced.
    Status begin_spreading(const Uuid& lost);
    bool advance_spreading();

    // --- closing: advance_close() until it is true, then finish_close() when no thread runs a
    // worker any more ---
    // Takes no more requests, waits for those in flight, and begins each phase when all workers
    // have reached the one before. Never waits; true when they have reached the last one.
    // worker.h says why the phases have this order.
    bool advance_close();
    void wake_workers();
    Status finish_close();
    // After it: devices, memory and everything else go. What stays answers that it is closed, for
    // handles that outlive the engine. No call but submit() and read_inline() may be under way:
    // those look at stopped_ first, and touch nothing else then.
    void release();

    // --- volumes ---
    Status create_volume(const std::string& name, std::uint64_t bytes);
    // From here on the volume is gone, through any crash, but for its space. When none of its
    // requests is in flight any more trim it, then forget it: VolumeChange does.
    struct Deletion {
        std::shared_ptr<VolumeState> refused;   // null after the array was opened again
        std::shared_ptr<VolumeState> trimming;  // the same blocks, for the trim
    };
    Result<Deletion> begin_delete(const std::string& name, Loss loss = Loss::allowed);
    // Of openings before; once, when the array is open.
    std::vector<Deletion> unfinished_deletions();
    Status forget_volume(const Uuid& uuid);
    // VolumeChange's header has the steps of both, and why they are in that order.
    //
    // Begins a change of size. When the volume has drained, trim what was cut off, from `bytes` to
    // `from`, by way of `trimming`; when that is idle finish with its outcome: VolumeChange does. A
    // crash in between leaves the old size, and zeroes in some of what was to go.
    struct Resize {
        std::shared_ptr<VolumeState> volume;
        std::uint64_t from = 0, bytes = 0;
        std::shared_ptr<VolumeState> trimming;  // as the volume was
    };
    Result<Resize> begin_resize(const std::string& name, std::uint64_t bytes,
                                Loss loss = Loss::allowed);
    Status finish_resize(const Resize& resize, const Status& trimmed);
    Result<std::shared_ptr<VolumeState>> volume(const std::string& name);
    std::vector<VolumeInfo> volumes() const;
    void set_device(VolumeState& volume, const std::string& path);

    // Begins a snapshot of the PMT as soon as none is under way, whatever was written.
    void ask_snapshot() {
        if (snapshotter_) snapshotter_->ask();
    }

    // --- the scrub; any thread ---
    // As Engine's.
    Status start_scrub(std::uint64_t bytes_per_second);
    Status stop_scrub();
    // To be called some times a second: the scrub may go on.
    void pace_scrub();

    Stats stats() const;
    // Totals over the array's life, as a record on media has them.
    LifetimeCounters lifetime() const;
    // In the order of the superblock, null where one is missing; then those whose place was taken.
    std::vector<const Device*> drives() const;
    // Whether a drive's transfers go through the kernel.
    bool wants_rings() const;
    const ArrayLayout& layout() const { return array_.layout; }
    const ArrayContext& array() const { return array_; }
    BandTable& bands() { return *bands_; }

  private:
    Core(const Options& options, const Environment& environment)
        : options_(options), environment_(environment) {}

    // core_open.cpp
    Status start(std::vector<std::unique_ptr<Device>>& devices);
    void name_spares();
    Result<std::uint32_t> check_spreading(const Uuid& lost) const;
    bool needs_unwilling() const;
    Status check_options(const ArrayParameters& parameters) const;
    void set_array(Discovery discovery);
    Status bring_up();
    Status prepare_drives(const LoadedBands& loaded);
    Status take_back(const LoadedBands& loaded);
    Status resilver();
    void watch_drives();
    void place_guard(MemberDevice& m) const;
    void place_guards(const LoadedBands& loaded);
    std::optional<Snapshot> newest_snapshot();
    bool load_bitmap();
    Status recover_contents(LoadedBands& loaded);
    Team recovery_team();
    void make_workers(LoadedBands loaded);
    void hand_out_patches();
    std::uint64_t snapshot_interval() const;

    // core_epoch.cpp
    Status settle(BandKeeper& keeper);
    Status reaffirm_epoch();
    Status begin_epoch(std::uint64_t next_version, BandKeeper& keeper, ArrayState before);
    Status complete_epoch();
    Status write_first_snapshot();
    Status refuse_if_stopped() const;
    Status refuse_if_ending() const;  // or while it is being closed
    Status write_superblock();
    Status write_band_table(BandKeeper& keeper);

    // core_leave.cpp
    MemberSet leaving() const;
    bool joins(std::size_t member) const;
    bool can_go_on_without(const MemberSet& leaving) const;
    void begin_leaving(const MemberSet& who);
    void finish_leaving();
    Status write_last_tables();
    void keep(const MemberSet& who);
    void note_rebuilt();

    // core_drain.cpp
    static std::unexpected<Error> vacant(const MemberRecord& member);
    Status check_room_without(const MemberRecord& member) const;
    Status check_draining(const MemberRecord& member, bool stop) const;
    bool can_write_on(const DriveSet& drives) const;
    bool others_are_enough(const DriveSet& others) const;
    void end_draining_if_needed();

    // core_replace.cpp
    struct Replacing;
    Result<std::size_t> member_named(const std::string& word) const;
    Result<std::size_t> member_to_change(const std::string& word) const;
    std::unexpected<Error> cant_go(const MemberRecord& member) const;
    bool was_claimed(const std::vector<std::unique_ptr<Device>>& fresh, IoQueue& queue) const;
    Status refuse_members(const std::vector<std::unique_ptr<Device>>& fresh, const Uuid& old,
                          IoQueue& queue) const;
    Result<MemberSet> check_replacement(std::size_t member, const Device& fresh) const;
    Status part_with(const MemberSet& who);
    bool everyone_polled(std::vector<std::uint64_t>& polls);
    bool is_over() const;
    bool forgotten();
    Status come_in();
    Status join(MemberDevice& other);
    void use(Device& fresh, const MemberRecord& record);
    void begin_rebuild();
    void end_replacing();
    Status begin_replacing(const std::string& path, const std::function<Status()>& begin);
    void show_replacing(std::unique_ptr<Replacing> r);
    Status takes_no_writes() const;
    Status prepare_qlc(MemberDevice& other);
    void follow_former(Device& fresh);

    // core_return.cpp
    // Drives that are out, and how far it is known that nothing of them is under way.
    struct LettingGo {
        std::vector<Device*> drives;
        std::vector<std::uint64_t> polls, begun;
        void begin(std::vector<Device*> out);
    };
    void let_go_of_drives();
    std::vector<Device*> drives_out() const;
    bool named_by_open(std::uint32_t drive) const;
    Result<MemberDevice> know_again(std::unique_ptr<Device> again, IoQueue& queue);
    Status refuse_if_older(const Returned& returned, IoQueue& queue) const;
    Status refuse_if_older(const ArrayContext& array, std::vector<BandRecord> records,
                           std::uint32_t drive, IoQueue& queue) const;
    void begin_coming_back();
    void give_up_returning();

    // core_fill.cpp
    void begin_coming();
    bool filled();
    void end_coming();

    Status take(VolumeState& volume, Request request);
    std::uint64_t total(Counter counter) const;
    // When the last drive came, or at the opening: bands that lacked one which is there.
    struct RebuildBegun {
        std::uint32_t bands = 0;
        std::uint64_t at_ns = 0;
    };
    bool to_rebuild(BandId band, bool stays) const {
        const bool under_way = healer_ != nullptr && healer_->rebuilds(band);
        return !stays && (under_way || array_.is_narrow(band));
    }
    std::uint32_t narrow_bands() const;
    void fill_io(Stats::Io& io) const;
    void fill_bands(Stats::Bands& bands) const;
    void fill_scrub(Stats::Scrub& scrub) const;
    void fill_replacement(Stats::Replacement& replacement) const QS_REQUIRES(shown_mutex_);
    // As operators are told: one that joins is shown when it has joined.
    std::vector<const MemberDevice*> shown_members() const QS_REQUIRES(shown_mutex_);
    void fill_rebuild(Stats::Rebuild& rebuild, const RebuildBegun& begun) const;
    std::unexpected<Error> fail_read_only(const std::string& volume) const;
    Result<std::shared_ptr<VolumeState>> to_change(const std::string& name, std::uint64_t bytes,
                                                   Loss loss) QS_REQUIRES(control_mutex_)
        QS_REQUIRES(shown_mutex_);
    using VolumesChange = std::function<Status(Superblock&)>;
    Status change_volumes(const VolumesChange& change) QS_REQUIRES(control_mutex_);
    Status write_volumes(const VolumesChange& change);  // change_volumes() alone
    void show(Superblock& shown);
    std::shared_ptr<VolumeState> make_state(const Superblock& of, const VolumeRecord& record);
    std::shared_ptr<VolumeState> for_trim(const VolumeState& state);
    std::optional<Io> held_call();
    void halt(std::string_view why, const Io& by);
    bool stands_still();
    bool all_reached(Phase phase) const;
    std::unique_ptr<IoQueue> worker_queue(const Buffer& memory);
    std::unique_ptr<IoQueue> make_queue(std::vector<std::span<std::byte>> memory,
                                        IoQueue::Late late);

    Options options_;
    Environment environment_;
    std::unique_ptr<IoQueue> control_;  // superblocks, set-up, closing: under control_mutex_
    Mutex control_mutex_;
    Superblock superblock_;
    // What can be looked at while a drive keeps a change of the volumes waiting: volumes_, and
    // superblock_ as of the last change. Held for moments only, inside control_mutex_.
    mutable Mutex shown_mutex_;
    Superblock shown_ QS_GUARDED_BY(shown_mutex_);
    std::map<std::string, std::shared_ptr<VolumeState>> volumes_ QS_GUARDED_BY(shown_mutex_);
    SuperblockMark on_qlc_;  // the newest that is on every QLC drive that is in
    std::vector<MemberDevice> members_;
    std::vector<Unusable> absent_;  // devices of the array file that are not members_
    // Whose place another has taken: who was given them may still look at them.
    std::vector<std::unique_ptr<Device>> former_ QS_GUARDED_BY(shown_mutex_);
    std::vector<DeviceStatus> spares_ QS_GUARDED_BY(shown_mutex_);
    // The replacement that is under way; of its one caller. Begins and ends under both mutexes.
    struct Replacing {
        std::size_t member = 0;
        MemberDevice fresh;                // of the same number; later the old one
        std::vector<std::uint64_t> polls;  // of the workers, as they were when that was asked first
        enum class Step : std::uint8_t { seen, filled, kept, joined } waits_for = Step::seen;
        std::uint64_t snapshots = 0;  // taken, when it is in the newest two
        std::uint64_t given_up = 0;   // likewise, when no more are tried
        bool parts = false;           // the old one is to go out; under control_mutex_
        bool joins = false;           // it is among the members, and no superblock says so yet
        bool returns = false;         // it is the old one: core_return.cpp
        Stats::Replacement shown;     // but for how far it is
        std::uint64_t began_ns = 0;
        std::optional<Status> outcome;
        bool scm() const { return fresh.record.role == DeviceRole::scm; }
    };
    std::unique_ptr<Replacing> replacing_;
    RebuildBegun rebuild_begun_ QS_GUARDED_BY(shown_mutex_);
    std::uint64_t rounds_noted_ = 0;  // Healer::rounds(); of look_at_drives()
    std::atomic<bool> replaces_{false};
    LettingGo letting_go_;  // of the one who calls paths_to_return()
    ArrayContext array_;
    std::vector<MemberRecord> returned_;  // QLC drives that were out until this opening, as then
    bool members_changed_ = false;        // by this opening
    bool read_only_ = false;
    std::unique_ptr<TableBitmap> bitmap_;
    std::unique_ptr<BitmapWriter> bitmap_writer_;  // the snapshotter's, except at open and close
    std::unique_ptr<BandTable> bands_;
    std::unique_ptr<SpaceGate> gate_;
    std::uint64_t snapshot_generation_ = 0;  // of the newest record of the epoch that ended
    std::atomic<std::uint64_t> next_version_{1};
    std::vector<std::unique_ptr<Worker>> workers_;
    // Their actors, by kind. Of a read-only array: shards alone.
    std::vector<Shard*> shards_;
    std::vector<Collector*> collectors_;
    BandKeeper* keeper_ = nullptr;
    Snapshotter* snapshotter_ = nullptr;
    Healer* healer_ = nullptr;
    Scrubber* scrubber_ = nullptr;
    std::unique_ptr<ScrubPace> scrub_pace_;
    std::unique_ptr<RequestTable> requests_;
    std::vector<std::shared_ptr<VolumeState>> deleted_ QS_GUARDED_BY(control_mutex_);
    Recovered recovered_;
    double recovery_seconds_ = 0;
    std::uint64_t opened_ns_ = 0;
    std::atomic<int> phase_{0};
    DirectReaders readers_;
    // Of watch().
    std::string halted_why_;  // before phase() says so
    std::atomic<std::uint64_t> halted_at_{0};
    std::uint64_t motion_ = 0, moved_at_ = 0;
    std::vector<std::uint64_t> polls_;
    std::uint64_t given_up_ = 0;  // how often drives were
    bool all_polled_ = false;
    std::atomic<bool> stopped_{false};
    // Counted before the look at stopped_: who stops waits afterwards until there is none. Both in
    // one total order (seq_cst), so either the caller sees stopped_, or who stops sees the caller.
    std::atomic<std::uint32_t> in_flight_{0};
};

}  // namespace qlcshape
