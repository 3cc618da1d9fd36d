#include "sim_run.h"

#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "cut_plan.h"
#include "damage.h"
#include "engine/core.h"
#include "engine/format_array.h"
#include "oracle.h"
#include "recovery/check.h"
#include "sim_world.h"
#include "trim_storm.h"

namespace qlcshape::sim {

namespace {

class History {
  public:
    explicit History(std::uint64_t seed) : world_(seed), rng_(world_.random()) { shape(); }

    RunResult run(std::uint32_t cycles) {
        if (!create()) return finish();
        for (std::uint32_t i = 0; i < cycles && result_.violation.empty(); ++i) cycle();
        return finish();
    }

  private:
    struct Op {
        bool busy = false;
        bool read = false;
        std::uint32_t id = 0;
        std::uint64_t first_sector = 0, sectors = 0;
        Buffer data;
    };

    void shape() {
        options_.name = "sim";
        options_.data_strips = static_cast<std::uint32_t>(2 + rng_.below(3));
        options_.strip_bytes = 64 * KiB;
        options_.band_bytes = (4 + 4 * rng_.below(2)) * options_.strip_bytes;
        options_.overprovision = 0.25 + 0.05 * static_cast<double>(rng_.below(3));
        options_.shards = static_cast<std::uint32_t>(1 + rng_.below(3));
        options_.pmt_cache_bytes = options_.shards * PageCache::kSetBytes;
        const bool qlc_cache = rng_.chance(2, 3), scm_cache = rng_.chance(2, 3),
                   clears = rng_.chance(1, 2);
        const std::uint64_t bands = 50 + rng_.below(60);
        for (std::uint32_t i = 0; i < options_.data_strips + 2; ++i) {
            media_.push_back(&world_.add(fmt::format("qlc{}", i), (bands + 2) * options_.band_bytes,
                                         qlc_cache, clears));
            options_.devices.push_back({Role::qlc, media_.back()->name, 0});
        }
        for (std::uint32_t i = 0; i < 2; ++i) {
            media_.push_back(&world_.add(fmt::format("scm{}", i), 40 * MiB, scm_cache, true));
            options_.devices.push_back({Role::scm, media_.back()->name, 0});
        }
        rots_ = rng_.chance(1, 4);
        for (std::size_t& drive : weak_) drive = rng_.below(options_.data_strips + 2);
        ops_.resize(1 + rng_.below(24));
        for (Op& op : ops_) op.data = Buffer(kLargest);
    }

    std::vector<std::unique_ptr<Device>> devices() {
        std::vector<std::unique_ptr<Device>> list;
        for (std::size_t i = 0; i < media_.size(); ++i) {
            if (!lost_.contains(i)) list.push_back(world_.device(*media_[i]));
        }
        return list;
    }

    std::unique_ptr<IoQueue> queue() {
        world_.pace().forget();
        auto q = std::make_unique<IoQueue>();
        q->set_idle([this] { world_.step(); });
        return q;
    }

    bool create() {
        auto list = devices();
        auto q = queue();
        const Status made = format_array(options_, list, false, rng_, *q);
        if (!made) return violate("create: " + made.error().message);
        return true;
    }

    bool violate(const std::string& what) {
        if (result_.violation.empty()) result_.violation = what;
        return false;
    }

    bool open() {
        Surroundings around{world_, rng_,
                            [this](std::vector<std::span<std::byte>>) { return queue(); }};
        auto core = Core::open(options_, devices(), "", std::move(around));
        if (!core) {
            if (!world_.dead()) violate("open: " + core.error().message);
            return false;
        }
        core_ = std::move(*core);
        layout_ = core_->layout();
        moved_before_ = core_->stats().gc.bands_moved;
        return true;
    }

    // Opens with one or two QLC drives missing, and reads everything: after a crash, too.
    void look_degraded() {
        world_.power_on();
        const std::size_t drives = options_.data_strips + 2;
        lost_ = {weak_[0], weak_[1]};
        if (!rots_) lost_ = {rng_.below(drives), rng_.below(drives)};
        if (open()) {
            ++result_.degraded_opens;
            auto volume = core_->volume("v");
            if (!core_->read_only()) violate("it opened for writing with drives missing");
            if (volume) {
                volume_ = *volume;
                compare_all(false);
            }
            drop();
        }
        lost_.clear();
    }

    // Opens, with power cuts on the way, until it succeeds; reads everything back; puts load on it;
    // ends in a cut or a clean close.
    void cycle() {
        if (opened_before_) damage();
        if (opened_before_ && rng_.chance(1, 4)) look_degraded();
        // Now and then many cuts in a row, each in the recovery from the one before.
        const bool loop = opened_before_ && rng_.chance(1, 8);
        for (std::uint32_t tries = 0;; ++tries) {
            world_.power_on();
            world_.cut_after(0);
            const std::uint64_t before = world_.events();
            if (loop && tries < 40)
                plan_cut_in_loop(world_);
            else if (opened_before_ && tries < 3 && rng_.chance(1, 3))
                plan_cut_in_opening(world_, opening_events_);
            const bool opened = open();
            if (opened && !world_.dead()) {
                opening_events_ = world_.events() - before;
                break;
            }
            if (core_) drop();
            if (!result_.violation.empty()) return;
            ++result_.crashes_in_recovery;
        }
        world_.cut_after(0);
        if (!opened_before_ && !make_volume()) return;
        opened_before_ = true;
        auto volume = core_->volume("v");
        if (!volume) return void(violate("the volume is gone"));
        volume_ = *volume;
        if (!compare_all(true)) return drop();
        if (rng_.chance(1, 2)) plan_cut_under_load(world_);
        load();
        if (!result_.violation.empty()) return drop();
        if (!world_.dead() && rng_.chance(1, 4)) change_volumes();
        if (!result_.violation.empty()) return drop();
        if (!world_.dead() && rng_.chance(1, 3))
            close_clean();
        else
            crash();
    }

    void damage() {
        if (rots_) {
            for (const std::size_t drive : weak_) rot_bands(*media_[drive], layout_, 20, rng_);
        }
        if (rng_.chance(1, 4)) lose_tps(*media_[options_.data_strips + 2 + rng_.below(2)], layout_);
    }

    // Makes a second volume, or deletes it; the power may go on the way.
    void change_volumes() {
        if (rng_.chance(1, 2)) plan_cut_in_control(world_);
        auto second = core_->volume("w");
        const Status changed =
            second ? delete_volume("w") : core_->create_volume("w", kSecondBytes);
        if (!changed && !world_.dead()) violate("volume w: " + changed.error().message);
        if (!world_.dead()) world_.cut_after(0);
    }

    Status delete_volume(const std::string& name) {
        auto deletion = core_->begin_delete(name);
        if (!deletion) return fail(deletion.error());
        bool trimmed = false;
        Request request{qlcshape::Op::trim, 0, deletion->trimming->bytes, nullptr, {}};
        request.done = [&](Status) { trimmed = true; };
        const Status taken = core_->submit(*deletion->trimming, std::move(request));
        if (!taken) return taken;
        for (std::uint64_t i = 0; !trimmed; ++i) {
            poll_something();
            if (i > 2000000) return fail(Errc::io_error, "the trim never ends");
        }
        return core_->forget_volume(name);
    }

    bool make_volume() {
        const std::uint64_t blocks = layout_.writable_blocks - kSecondBytes / kBlockBytes;
        const Status made = core_->create_volume("v", blocks * kBlockBytes);
        if (!made) return violate("create_volume: " + made.error().message);
        oracle_.emplace(blocks * kSectorsPerBlock);
        return true;
    }

    std::uint64_t sectors() const { return volume_->bytes / kSectorBytes; }

    void poll_something() {
        const auto& workers = core_->workers();
        switch (rng_.below(3)) {
            case 0:
                world_.step();
                break;
            default:
                workers[rng_.below(workers.size())]->poll(core_->phase());
        }
    }

    void load() {
        const std::uint64_t pages = sectors() * kSectorBytes / kPageSpanBytes;
        stormy_ = rng_.chance(1, 4) && TrimStorm::span(options_.shards, layout_) <= pages;
        storm_ = TrimStorm{};
        const std::uint64_t steps = stormy_ ? 60000 : 2000 + rng_.below(20000);
        trims_ = rng_.chance(1, 2);
        hot_ = rng_.chance(1, 2);
        large_ = rng_.chance(1, 3);
        partial_ = rng_.chance(1, 3);
        for (std::uint64_t i = 0; i < steps && !world_.dead() && result_.violation.empty(); ++i) {
            if (rng_.chance(1, 8)) submit_one();
            poll_something();
        }
        if (!world_.dead()) world_.cut_after(0);
        if (core_->failed() && !world_.dead()) violate("the engine failed without a drive failing");
    }

    void submit_one() {
        Op* op = nullptr;
        std::size_t busy = 0;
        for (Op& o : ops_) {
            if (!o.busy) op = &o;
            busy += o.busy ? 1 : 0;
        }
        if (op == nullptr) return;
        if (stormy_) return busy < TrimStorm::kAtOnce ? submit_of_storm(*op) : void();
        const std::uint64_t blocks = sectors() / kSectorsPerBlock;
        std::uint64_t count = 1;
        if (large_ && rng_.chance(1, 8))
            count = 1 + rng_.below(kLargest / kBlockBytes);
        else if (rng_.chance(1, 4))
            count = 1 + rng_.below(16);
        count = std::min(count, blocks);
        std::uint64_t first = rng_.below(blocks - count + 1);
        if (hot_ && rng_.chance(3, 4)) first %= std::max<std::uint64_t>(1, blocks / 16);
        op->first_sector = first * kSectorsPerBlock;
        op->sectors = count * kSectorsPerBlock;
        if (partial_ && rng_.chance(1, 2)) {
            op->first_sector += rng_.below(std::min<std::uint64_t>(7, op->sectors - 1) + 1);
            op->sectors = 1 + rng_.below(first * kSectorsPerBlock + op->sectors - op->first_sector);
        }
        op->busy = true;
        ++result_.operations;
        const std::uint64_t kind = rng_.below(10);
        if (kind < 2) return submit(*op, qlcshape::Op::read);
        if (kind == 2 && rng_.chance(1, 4)) return submit(*op, qlcshape::Op::flush);
        if (kind == 3 && trims_)
            return submit(*op, rng_.chance(1, 2) ? qlcshape::Op::trim : qlcshape::Op::write_zeroes);
        submit(*op, qlcshape::Op::write);
    }

    void submit_of_storm(Op& op) {
        const std::uint64_t pages = sectors() * kSectorBytes / kPageSpanBytes;
        const std::uint64_t span = TrimStorm::span(options_.shards, layout_);
        if (storm_.over()) storm_.begin(rng_.below(pages - span + 1), options_.shards, layout_);
        const TrimStorm::Step step =
            storm_.next(world_.completed(PersistencePoint::tps_write) / 2, rng_);
        if (storm_.full_soon() && rng_.chance(3, 4)) plan_cut_in_storm(world_);
        op.busy = true;
        ++result_.operations;
        op.first_sector = step.first_block * kSectorsPerBlock;
        op.sectors = step.blocks * kSectorsPerBlock;
        submit(op, step.write ? qlcshape::Op::write : qlcshape::Op::trim);
    }

    void submit(Op& op, qlcshape::Op kind) {
        op.read = kind == qlcshape::Op::read;
        op.id = 0;
        Request request{
            kind, op.first_sector * kSectorBytes, op.sectors * kSectorBytes, op.data.data(), {}};
        const bool one_page = op.first_sector * kSectorBytes / kPageSpanBytes ==
                              ((op.first_sector + op.sectors) * kSectorBytes - 1) / kPageSpanBytes;
        const std::uint64_t touched = (op.first_sector + op.sectors + 7) / 8 - op.first_sector / 8;
        switch (kind) {
            case qlcshape::Op::read:
                oracle_->begin_read();
                break;
            case qlcshape::Op::write:
                op.id = oracle_->begin(++stamp_, op.first_sector, op.sectors,
                                       one_page && touched <= kAtomicWriteBlocks);
                for (std::uint64_t s = 0; s < op.sectors; ++s)
                    fill(op.data.data() + s * kSectorBytes, stamp_);
                break;
            case qlcshape::Op::write_zeroes:
                op.id = oracle_->begin(0, op.first_sector, op.sectors, false);
                break;
            case qlcshape::Op::trim: {
                const std::uint64_t from = (op.first_sector + 7) / 8 * 8;
                const std::uint64_t to = (op.first_sector + op.sectors) / 8 * 8;
                if (to > from) op.id = oracle_->begin(0, from, to - from, false);
                break;
            }
            case qlcshape::Op::flush:
                request.offset_bytes = request.bytes = 0;
                break;
        }
        request.done = [this, &op](Status status) { done(op, status); };
        const Status taken = core_->submit(*volume_, std::move(request));
        if (!taken) violate("submit: " + taken.error().message);
    }

    static void fill(std::byte* sector, std::uint64_t stamp) {
        for (std::size_t i = 0; i < kSectorBytes; i += sizeof(stamp))
            std::memcpy(sector + i, &stamp, sizeof(stamp));
    }

    // The sector's stamp; nothing where it is not all one stamp.
    static std::optional<std::uint64_t> stamp_of(const std::byte* sector) {
        std::uint64_t first;
        std::memcpy(&first, sector, sizeof(first));
        if (std::memcmp(sector, sector + sizeof(first), kSectorBytes - sizeof(first)) != 0)
            return std::nullopt;
        return first;
    }

    void done(Op& op, const Status& status) {
        op.busy = false;
        if (world_.dead()) return;
        if (!status) return void(violate("an operation failed: " + status.error().message));
        if (op.read) {
            for (std::uint64_t s = 0; s < op.sectors; ++s)
                check_sector(op.first_sector + s, op.data.data() + s * kSectorBytes);
            oracle_->end_read();
        } else if (op.id != 0) {
            oracle_->acked(op.id);
        }
    }

    void check_sector(std::uint64_t sector, const std::byte* data) {
        const auto stamp = stamp_of(data);
        if (!stamp || !oracle_->allowed(sector, *stamp)) {
            violate(fmt::format("sector {} reads {}, allowed: {}", sector,
                                stamp ? std::to_string(*stamp) : "a mixture",
                                oracle_->expected(sector)));
        }
    }

    // With `settle` what is seen must stay: recovery has decided.
    bool compare_all(bool settle) {
        oracle_->prune_all();
        std::vector<std::uint64_t> seen(sectors());
        Buffer buffer(64 * kBlockBytes);
        for (std::uint64_t s = 0; s < sectors() && result_.violation.empty();) {
            const std::uint64_t n = std::min<std::uint64_t>(64 * kSectorsPerBlock, sectors() - s);
            bool finished = false;
            Status outcome;
            Request request{qlcshape::Op::read, s * kSectorBytes, n * kSectorBytes, buffer.data(),
                            [&](Status status) {
                                outcome = std::move(status);
                                finished = true;
                            }};
            if (!core_->submit(*volume_, std::move(request)))
                return violate("read after open was not taken");
            for (std::uint64_t i = 0; !finished; ++i) {
                poll_something();
                if (i > 2000000) return violate("a read after open never ends");
            }
            if (!outcome) return violate("read after open: " + outcome.error().message);
            for (std::uint64_t i = 0; i < n; ++i) {
                check_sector(s + i, buffer.data() + i * kSectorBytes);
                seen[s + i] = stamp_of(buffer.data() + i * kSectorBytes).value_or(0);
            }
            s += n;
        }
        if (!result_.violation.empty()) return false;
        if (!settle) return true;
        if (const std::uint64_t torn = oracle_->settle(seen); torn != 0) {
            return violate(fmt::format("the atomic write {} is there in part", torn));
        }
        return true;
    }

    void crash() {
        ++result_.crashes;
        drop();
    }

    // Ends an opening whose power is gone: everything in flight has failed.
    void drop() {
        if (!world_.dead()) world_.cut();
        for (int round = 0; round < 1000; ++round) {
            for (const auto& w : core_->workers()) w->poll(core_->phase());
        }
        result_.bands_moved += core_->stats().gc.bands_moved - moved_before_;
        core_.reset();
        volume_.reset();
        for (Op& op : ops_) op.busy = false;
    }

    void close_clean() {
        if (rng_.chance(1, 3)) plan_cut_in_control(world_);
        auto settle = [&](auto&& condition, const char* what) {
            for (std::uint64_t i = 0; !condition(); ++i) {
                poll_something();
                if (world_.dead()) return false;
                if (i > 20000000) return violate(fmt::format("closing hangs: {}", what));
            }
            return true;
        };
        core_->stop_requests();
        if (!settle([&] { return core_->requests_in_flight() == 0; }, "requests in flight"))
            return crash();
        for (const Phase phase : {Phase::draining, Phase::erasing, Phase::flushing}) {
            core_->begin_phase(phase);
            if (!settle([&] { return core_->reached(phase); }, "a phase")) return crash();
        }
        result_.bands_moved += core_->stats().gc.bands_moved - moved_before_;
        const Status closed = core_->finish_close();
        if (world_.dead()) return crash();
        if (!closed) violate("close: " + closed.error().message);
        world_.cut_after(0);
        if (rng_.chance(1, 2)) world_.cut();  // what was closed is durable
        world_.power_on();
        ++result_.clean_closes;
        core_.reset();
        volume_.reset();
        if (!rots_) judge();
    }

    // The offline check of a cleanly closed array finds nothing.
    void judge() {
        auto q = queue();
        auto discovery = discover(devices(), "", *q);
        if (!discovery) return void(violate("discover: " + discovery.error().message));
        ArrayContext array;
        array.layout = *make_layout(discovery->superblock.parameters);
        array.array = discovery->superblock.array;
        array.qlc.resize(array.layout.p.qlc_count);
        array.scm.resize(array.layout.p.scm_count);
        for (MemberDevice& m : discovery->members) {
            (m.record.role == DeviceRole::qlc ? array.qlc : array.scm)[m.record.index] =
                m.device.get();
        }
        auto report = check_array(array, discovery->superblock, *q, {});
        if (!report) return void(violate("check: " + report.error().message));
        if (report->problems_found != 0) violate("check: " + report->problems.front());
    }

    RunResult finish() {
        if (core_) drop();
        result_.trace = world_.trace();
        result_.events = world_.events();
        result_.coverage = world_.coverage();
        return result_;
    }

    static constexpr std::uint64_t kSectorsPerBlock = kBlockBytes / kSectorBytes;
    static constexpr std::uint64_t kLargest = 3 * MiB;
    static constexpr std::uint64_t kSecondBytes = 2 * MiB;

    World world_;
    Random& rng_;
    Options options_;
    std::vector<Media*> media_;
    std::set<std::size_t> lost_;
    std::vector<Op> ops_;
    std::unique_ptr<Core> core_;
    std::shared_ptr<VolumeState> volume_;
    std::optional<Oracle> oracle_;
    RunResult result_;
    std::uint64_t stamp_ = 0;
    std::uint64_t moved_before_ = 0;
    bool opened_before_ = false;
    ArrayLayout layout_;
    std::uint64_t opening_events_ = 400;
    bool rots_ = false;
    std::size_t weak_[2] = {0, 0};  // the drives that rot
    bool stormy_ = false;
    TrimStorm storm_;
    bool trims_ = false, hot_ = false, large_ = false, partial_ = false;
};

}  // namespace

RunResult run_history(std::uint64_t seed, std::uint32_t cycles) {
    return History(seed).run(cycles);
}

}  // namespace qlcshape::sim
