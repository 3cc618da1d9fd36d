// SPDX-License-Identifier: Apache-2.0
// The history that one seed makes: what run_history() drives. Its files by subject:
//   sim_run         its shape and its cycles
//   sim_open        opening and comparing
//   sim_load        load and volumes
//   sim_close       crash, clean close, the judge
//   sim_away        drives that are away, and replaced while the array is closed
//   sim_replace     drives that are replaced while it is open
//   sim_older       drives as they were earlier in the same opening
//   sim_beyond      more lost than redundancy covers
//   sim_bitmap      which pages of the table were ever written
//   sim_redundancy  whether all that counts is redundant
//   sim_scrub       whether the scrub makes it so
//   sim_counters    lifetime counters
//   sim_state       in which state the power was cut
//   sim_sequence    short sequences of operations, cut after every event
//   sim_damaged     openings after damage that nothing promises to bear
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/volume_change.h"
#include "sim/damage.h"
#include "sim/oracle.h"
#include "sim/sim_run.h"
#include "sim/sim_sequence.h"
#include "sim/sim_world.h"
#include "sim/stripe_truth.h"

namespace qlcshape::sim {

inline constexpr std::uint64_t kSectorsPerBlock = kBlockBytes / kSectorBytes;

class History {
  public:
    History(std::uint64_t seed, Profile profile);
    void aim_at(PersistencePoint point) { world_.aim_at(point); }
    RunResult run(std::uint32_t cycles);
    // See run_sequence().
    void prepare_sequences();
    void run_sequence(std::uint64_t number, SequenceResult& result);
    const std::string& violation() const { return result_.violation; }
    DamageResult run_damaged();

  private:
    struct SimVolume {
        SimVolume(std::string name_, std::uint64_t blocks)
            : name(std::move(name_)), sectors(blocks * kSectorsPerBlock), oracle(sectors) {}
        std::string name;
        std::uint64_t sectors;
        Oracle oracle;
        std::shared_ptr<VolumeState> state;
        bool certain = true;  // false: its creation or deletion was cut off or failed
        std::uint64_t maybe_sectors =
            0;  // not 0: the other size, if a resize was cut off or failed
    };
    struct SimOp {
        bool busy = false;
        Op kind = Op::read;
        SimVolume* volume = nullptr;
        std::uint32_t id = 0;
        std::uint64_t begun = 0;  // in the order of submission
        bool may_fail = false;    // part of a block that may be lost is to be kept
        std::uint64_t first_sector = 0, sectors = 0;
        Buffer data;
    };
    enum class Look { good, stopped, wrong };
    enum class Pattern : std::uint64_t { random, sequential, skewed, hot, count };

    // sim_run.cpp
    struct Kinds {
        bool qlc_cache, scm_cache, discard_clears, zoned;
    };
    void shape();
    void add_media(std::uint64_t bands, Kinds kinds);
    void choose_weak();
    bool create();
    void cycle();
    void loop_of_cuts(std::uint32_t cuts);
    bool violate(const std::string& what);
    // A failure of the engine that the faults of this opening explain.
    bool may_stop() const { return world_.dead() || world_.faults().may_stop(); }
    void poll_something();
    // Power goes within `events`, or at some persistence point from `first` to `last`, so that rare
    // ones have their share.
    void plan_cut(std::uint64_t events, PersistencePoint first, PersistencePoint last);

    // sim_open.cpp
    std::vector<std::unique_ptr<Device>> devices();
    std::unique_ptr<IoQueue> queue();
    Result<std::unique_ptr<Core>> try_open();
    bool open(bool quiet);
    bool open_through_cuts();
    bool find_volumes();
    Look compare_all(bool settle);
    Look compare(SimVolume& volume, bool settle);
    Status read_now(SimVolume& volume, std::uint64_t sector, std::uint64_t sectors);
    void check_sector(const SimVolume& volume, std::uint64_t sector, const std::byte* data);
    void look_read_only(std::set<std::size_t> lost);
    void degraded_episode();
    bool scm_is_out(std::size_t drive) const;
    void stale_episode();
    void superblock_episode();
    bool pmt_damaged();
    void spoil_table();
    void lose_mirror();
    void cut_while_filled();

    // sim_away.cpp
    bool wide() const { return world_.faults().profile() == Profile::wide; }
    bool goes_away() const { return wide() || world_.faults().profile() == Profile::away; }
    std::size_t qlc_drives() const { return options_.data_strips + 2 + more_drives_; }
    bool readable_without(const std::set<std::size_t>& lost) const;
    bool readable_by(const std::vector<Media*>& drives, const std::set<std::size_t>& lost) const;
    std::vector<Media*> current() const;
    Media* scm_to_lose();
    std::size_t number_of(const Media* media) const;
    void note_behind();
    void look_who_is_behind();
    void away_episode();
    bool must_come_back(const Error& error);
    void drive_leaves();
    void scm_leaves();
    void make_leave(Media& media);
    std::set<std::size_t> not_written() const;
    void replace_episode();
    Result<MemberRecord> replace(std::size_t drive, const std::set<std::size_t>& lost);
    void replace_scm();
    bool may_be_split(const std::set<std::size_t>& lost) const;

    // sim_replace.cpp
    void begin_replacing();
    void begin_replacing(std::size_t drive);
    void begin_spreading();
    void drain_or_remove();
    void note_removed();
    void begin_returning();
    void end_returning();
    void advance_replacing();
    void take_fresh();
    void finish_replacing();
    void look_for_fresh();

    // sim_bitmap.cpp
    void judge_bitmap();
    void lose_bitmap();

    // sim_older.cpp
    struct Older {
        Media* media;
        std::vector<std::byte> image;
        std::vector<Media::Cached> cache{};
    };
    bool members_get_older() const {
        const Profile p = world_.faults().profile();
        return p == Profile::older || p == Profile::all;
    }
    void choose_older();
    void forget_images_of_out();
    void copy_episode();
    bool traced();
    bool all_scm_older() const;
    void exchange_older();
    void older_episode();

    // sim_beyond.cpp
    struct Closed;
    bool beyond() const { return world_.faults().profile() == Profile::beyond; }
    void beyond_episode();
    void lose_blocks(Closed& closed);
    void lose_row(Closed& closed, BandId band, std::uint32_t segment);
    void split_mirrors(Closed& closed);
    void lose_record(Closed& closed);
    void open_refused(const char* why, const std::set<std::size_t>& lost, const char* names);
    void take_drives_away();
    void ruin_drives();
    void open_ruined();

    // sim_damaged.cpp
    bool look_at_damaged(std::uint32_t number);
    bool open_damaged(std::uint32_t number);
    void open_without_refused(std::string refusal);
    Look compare_damaged(SimVolume& volume);
    bool stopped_by_damage();
    bool in_stale_page(const SimVolume& volume, std::uint64_t sector) const;

    // sim_load.cpp
    bool make_first_volumes();
    void create_volume();
    void delete_volume();
    void resize_volume();
    bool finish_deletion(const Core::Deletion& deletion);
    Status finish_change(std::unique_ptr<VolumeChange> change, const char* what);
    void choose_load();
    void load(bool to_be_cut);
    void fill();
    void storm();
    void trim_next(std::uint64_t blocks);
    void submit_one();
    void place(SimOp& op);
    void place_unaligned(SimOp& op);
    void check_flush(const SimOp& flush);
    void submit(SimOp& op, Op kind);
    // Not of a drive that does not answer: the thread would be inside the kernel as long.
    bool reads_inline() const { return opened_ % 2 == 0 && !world_.silenced(); }
    bool read_inline(SimVolume& volume, const Request& request);
    void done(SimOp& op, const Status& status);
    void wait_for_requests();
    void silence_one();
    void silence(Media& media);
    void drive_is_silent();

    // sim_sequence.cpp
    void shape_for_sequences();
    void do_step(Step step);
    void one_op(Op kind, std::uint64_t first_block, std::uint64_t blocks);
    void wait_and_cut(const std::function<bool()>& done, const char* what);
    void cut_here();
    void rest();
    void tell(SequenceResult& result) const;

    // sim_counters.cpp
    void note_counters();
    void judge_counters();

    // sim_state.cpp
    void note_state();
    void cut_in(State state) { cut_in_.set(static_cast<std::size_t>(state)); }
    void count_states(States cut_in);

    // sim_close.cpp
    void crash();
    void drop();
    void forget_opening();
    void close_clean();
    void judge();
    RunResult finish();

    // sim_scrub.cpp
    void scrub_in_load();
    void spoil_one(BandId band);
    bool scrub_all();
    void scrub_episode();
    void rebuild_episode();
    void judge_scrubbed(const StripeTruth& truth, const BandTruth& band, std::uint32_t segment);

    // sim_redundancy.cpp
    void note_settled();
    void note_unmended(const std::string& message);
    void spoil_tail();
    void spoil_strip(Media& media, std::uint64_t offset);
    enum class Moment { crashed, recovered, closed };
    void judge_redundancy(Moment moment, const CheckReport* report = nullptr);
    void judge_segment(const StripeTruth& truth, const BandTruth& band, std::uint32_t segment,
                       const SegmentTruth& found, bool proved);
    void name_wrong(const StripeTruth& truth, BandId band, std::uint32_t segment,
                    const SegmentTruth& found, std::set<std::string>& wrong) const;
    void compare_with_check(std::set<std::string> wrong);
    void compare(const CheckReport& report, std::set<std::string> wrong);

    static constexpr std::uint64_t kIoLimitNs = 3'000'000'000;
    static constexpr std::uint64_t kLargest = 1 * MiB;
    static constexpr std::uint64_t kLargestHere = 64 * KiB;

    World world_;
    Random& rng_;
    Options options_;
    std::uint32_t max_shards_ = 1;
    std::uint64_t counted_pages_ = 0;
    std::uint64_t kept_findings_ = 0;
    IoClock io_clock_{world_, kIoLimitNs};
    std::uint64_t version_gap_ = 0;
    std::vector<Media*> media_;
    std::set<std::size_t> weak_qlc_;
    std::uint32_t more_drives_ = 0;  // than a band has columns
    std::set<std::size_t> lost_;
    std::set<std::size_t> away_;  // QLC drives that the array is written without
    Media* away_scm_ = nullptr;   // likewise an SCM drive
    Media* behind_ = nullptr;     // an SCM drive that may lack what the other has
    Media* fresh_ = nullptr;      // a drive that is to take a place, and whose
    std::size_t fresh_for_ = 0;
    std::uint32_t fresh_made_ = 0;
    std::optional<std::size_t> returning_;  // a drive that comes back while it is open
    bool spreading_ = false;                // what a lost drive had goes to the others
    std::set<std::size_t> removed_;         // drives that are never there again
    std::set<std::size_t> mended_;          // those that take writes again, and are not in yet
    // A new drive is a member perhaps by the word of one SCM drive alone: without that one the old
    // drive is, and the new one is rightly refused.
    bool fresh_unheard_ = false;
    Media* tried_ = nullptr;  // one of which some drives may say that it is out
    std::vector<SimOp> ops_;
    std::unique_ptr<Core> core_;
    std::vector<std::unique_ptr<SimVolume>> volumes_;
    std::uint64_t volumes_named_ = 0;
    std::vector<std::unique_ptr<SimVolume>> gone_;        // deleted in this opening
    std::vector<std::unique_ptr<VolumeChange>> changes_;  // of this opening
    RunResult result_;
    States cut_in_;  // since the last opening that came through
    Stats before_;
    Uuid array_id_;
    LifetimeCounters opened_with_{};  // the opening that is there
    LifetimeCounters counted_{};      // by all openings
    LifetimeCounters durable_{};      // what no opening may be below
    LifetimeCounters required_{};     // likewise of this one, by the snapshots that are there, too
    std::array<LifetimeCounters, 2> on_scm_{};  // those, by SCM drive
    std::uint64_t stamp_ = 0;
    std::uint64_t opened_ = 0;   // for writing
    bool crashed_ = false;       // the opening before, for writing, ended in a cut
    bool may_be_clean_ = false;  // on the drives it may stand that the array was closed in order
    bool quiet_ = true;

    // One drive as it was, and when.
    std::unique_ptr<Media> image_;
    std::size_t image_of_ = 0;
    std::uint64_t image_opened_ = 0;

    // Drives as they were at a moment of this opening. Drawn apart from all else.
    std::vector<Older> images_;
    ArrayContext images_array_;  // then
    bool copied_ = false;        // they are of a copy that was opened by itself
    Random images_random_;
    Random silence_random_;              // which drive does not answer; drawn apart, too
    std::uint64_t given_up_before_ = 0;  // how many drives, when that one began not to
    Random tail_random_;                 // what a power cut does to strips, likewise
    Random away_random_;                 // which drives are away, likewise
    Random drain_random_;                // which are drained and removed, likewise
    Random replace_random_;              // which are replaced while the array is open, likewise
    Random return_random_;               // which come back then, likewise
    const bool cuts_replacing_;          // the power goes soon after a replacement has begun
    Random scrub_random_;                // when a scrub begins, likewise
    bool scrubs_ = false;

    // After random damage: what it excuses, so far.
    Harm harm_;
    bool damaged_ = false, older_ = false, errors_ = false, table_met_damage_ = false;
    bool one_volume_ = false;                          // of one size
    bool blocks_lost_ = false;                         // beyond redundancy
    std::map<std::uint64_t, std::uint64_t> block_of_;  // of an LBA, in the only volume
    bool drives_away_ = false;  // more of them than redundancy covers, in this opening
    DamageResult damage_result_;

    // Before the recovery: segments that count, by the band's sequence; and how much was damaged.
    using SegmentIds = std::set<std::pair<std::uint64_t, std::uint32_t>>;
    SegmentIds settled_;
    std::set<std::uint64_t> spoilt_pages_;  // of the table
    std::uint64_t settled_damage_ = 0;
    SegmentIds seen_right_;  // at some time
    SegmentIds unmended_;    // and named in the log
    std::uint64_t judgements_ = 0;

    // Of read_now(): not on a stack that a read might outlive.
    bool read_finished_ = false;
    Status read_outcome_;

    // The load of this opening.
    Pattern pattern_ = Pattern::random;
    bool trims_ = false, large_ = false, partial_ = false, reads_ = false, volume_changes_ = false;
    std::uint64_t cursor_ = 0;
    std::uint64_t last_sector_ = 0;  // where the newest operation begins or ends
    std::unique_ptr<IoQueue> here_;  // of a thread that reads without a shard's
    DirectRead direct_;

    SequenceResult* cuts_ = nullptr;  // not null: every event is followed by a cut, in a child
};

// A sector full of one stamp, and of its number in the volume; nothing where it is not, or is
// another one's.
void fill_sector(std::byte* data, std::uint64_t stamp, std::uint64_t sector);
std::optional<std::uint64_t> stamp_of(const std::byte* data, std::uint64_t sector);

}  // namespace qlcshape::sim
