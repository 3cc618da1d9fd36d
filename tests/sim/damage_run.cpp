#include "damage_run.h"

#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "damage.h"
#include "engine/core.h"
#include "engine/format_array.h"

namespace qlcshape::sim {

namespace {

class DamagedArray {
  public:
    explicit DamagedArray(std::uint64_t seed) : world_(seed), rng_(world_.random()) {}

    DamageResult run() {
        make();
        Damage damage(world_, qlc_, scm_);
        const std::uint64_t lives = 1 + rng_.below(3);
        for (std::uint64_t i = 0; i < lives && good(); ++i) {
            if (i != 0) damage.remember();
            if (!open()) {
                violate("open before the damage: " + refusal_);
                break;
            }
            if (i == 0) make_volume();
            if (good()) load(20 + rng_.below(150));
            clean_ = rng_.chance(1, 2);
            clean_ ? close() : cut();
        }
        if (!good()) return result_;
        harm_ = damage.apply();
        result_.damage = fmt::format("{}{}: {}", clean_ ? "clean" : "crashed",
                                     harm_.within ? ", within redundancy" : "", harm_.text);
        result_.must_be_right = harm_.excuses_media_errors(clean_) ? 0 : 1;
        for (int i = 0; i < 2 && good(); ++i) {
            look(i != 0);
        }
        return result_;
    }

  private:
    // What a block may read as. Of a block whose read failed once all that it ever held.
    struct Block {
        std::set<std::uint64_t> allowed{0};
        std::set<std::uint64_t> ever{0};
    };

    bool good() const { return result_.violation.empty(); }
    void violate(const std::string& what) {
        if (good()) result_.violation = what;
    }

    void make() {
        options_.name = "damaged";
        options_.data_strips = static_cast<std::uint32_t>(2 + rng_.below(2));
        options_.strip_bytes = 64 * KiB;
        options_.band_bytes = 4 * options_.strip_bytes;
        options_.overprovision = 0.4;
        options_.shards = static_cast<std::uint32_t>(1 + rng_.below(2));
        options_.pmt_cache_bytes = options_.shards * PageCache::kSetBytes;
        const bool volatile_caches = rng_.chance(1, 2), clears = rng_.chance(1, 2);
        const std::uint64_t bands = 27 + rng_.below(6);
        std::vector<std::unique_ptr<Device>> list;
        for (std::uint32_t i = 0; i < options_.data_strips + 2; ++i) {
            qlc_.push_back(&world_.add(fmt::format("qlc{}", i), (bands + 2) * options_.band_bytes,
                                       volatile_caches, clears));
            options_.devices.push_back({Role::qlc, qlc_.back()->name, 0});
        }
        for (std::uint32_t i = 0; i < 2; ++i) {
            scm_.push_back(&world_.add(fmt::format("scm{}", i), 20 * MiB, volatile_caches, true));
            options_.devices.push_back({Role::scm, scm_.back()->name, 0});
        }
        auto all = devices();
        auto q = queue();
        const Status made = format_array(options_, all, false, rng_, *q);
        if (!made) violate("create: " + made.error().message);
    }

    std::vector<std::unique_ptr<Device>> devices() {
        std::vector<std::unique_ptr<Device>> list;
        for (Media* m : qlc_) list.push_back(world_.device(*m));
        for (Media* m : scm_) list.push_back(world_.device(*m));
        return list;
    }

    std::unique_ptr<IoQueue> queue() {
        auto q = std::make_unique<IoQueue>();
        q->set_idle([this] { world_.step(); });
        return q;
    }

    bool open() {
        Surroundings around{world_, rng_,
                            [this](std::vector<std::span<std::byte>>) { return queue(); }};
        auto core = Core::open(options_, devices(), "", std::move(around));
        ++result_.opens;
        if (!core) {
            refusal_ = core.error().message;
            return false;
        }
        core_ = std::move(*core);
        if (auto volume = core_->volume("v")) volume_ = *volume;
        return true;
    }

    void make_volume() {
        const std::uint64_t blocks = core_->layout().writable_blocks;
        if (auto made = core_->create_volume("v", blocks * kBlockBytes); !made)
            return violate("create_volume: " + made.error().message);
        volume_ = *core_->volume("v");
        blocks_.resize(blocks);
    }

    bool poll_until(const std::function<bool()>& done, const char* what) {
        const auto& workers = core_->workers();
        for (std::uint64_t i = 0; !done(); ++i) {
            if (rng_.chance(1, 3))
                world_.step();
            else
                workers[rng_.below(workers.size())]->poll(core_->phase());
            if (i > 3000000) {
                violate(fmt::format("hangs: {}", what));
                return false;
            }
        }
        return true;
    }

    static void fill(std::byte* block, std::uint64_t stamp, std::uint64_t number) {
        const std::uint64_t words[2] = {stamp, number};
        for (std::size_t i = 0; i < kBlockBytes; i += sizeof(words))
            std::memcpy(block + i, words, sizeof(words));
    }

    // The block's stamp; nothing where it isn't a whole block that belongs here.
    static std::optional<std::uint64_t> stamp_of(const std::byte* block, std::uint64_t number) {
        std::uint64_t words[2];
        std::memcpy(words, block, sizeof(words));
        if (std::memcmp(block, block + sizeof(words), kBlockBytes - sizeof(words)) != 0 ||
            words[1] != (words[0] == 0 ? 0 : number)) {
            return std::nullopt;
        }
        return words[0];
    }

    // Writes and trims, up to eight at once on different blocks; the last ones may be in flight at
    // the end.
    void load(std::uint64_t operations) {
        for (std::uint64_t i = 0; i < operations && good(); ++i) {
            if (!poll_until([&] { return in_flight_.size() < 8; }, "a write")) return;
            one_write();
        }
        if (rng_.chance(1, 2)) poll_until([&] { return in_flight_.empty(); }, "the last writes");
    }

    struct Write {
        std::uint64_t first = 0, count = 0, stamp = 0;
        Buffer data;
    };

    bool busy(std::uint64_t first, std::uint64_t count) const {
        for (const auto& w : in_flight_) {
            if (w->first < first + count && first < w->first + w->count) return true;
        }
        return false;
    }

    void one_write() {
        const std::uint64_t most = rng_.chance(1, 6) ? 100 : rng_.chance(1, 2) ? 1 : 16;
        auto w = std::make_unique<Write>();
        w->count = 1 + rng_.below(most);
        w->first = rng_.below(blocks_.size() - w->count + 1);
        if (rng_.chance(1, 2)) w->first %= blocks_.size() / 8;
        if (busy(w->first, w->count)) return;
        const bool trim = rng_.chance(1, 5);
        w->stamp = trim ? 0 : ++stamp_;
        w->data = Buffer(w->count * kBlockBytes);
        for (std::uint64_t i = 0; i < w->count; ++i) {
            if (!trim) fill(w->data.data() + i * kBlockBytes, w->stamp, w->first + i);
            blocks_[w->first + i].allowed.insert(w->stamp);
            blocks_[w->first + i].ever.insert(w->stamp);
        }
        Write* raw = w.get();
        Request request{trim ? Op::trim : Op::write, w->first * kBlockBytes, w->count * kBlockBytes,
                        w->data.data(), [this, raw](Status status) { written(*raw, status); }};
        in_flight_.push_back(std::move(w));
        if (auto taken = core_->submit(*volume_, std::move(request)); !taken) {
            violate("submit: " + taken.error().message);
        }
    }

    void written(Write& w, const Status& status) {
        if (status) {
            for (std::uint64_t i = 0; i < w.count; ++i) blocks_[w.first + i].allowed = {w.stamp};
        } else if (!world_.dead() && !may_fail_) {
            violate("a write failed: " + status.error().message);
        }
        std::erase_if(in_flight_, [&](const auto& other) { return other.get() == &w; });
    }

    void cut() {
        world_.cut();
        for (int round = 0; round < 1000; ++round) {
            for (const auto& w : core_->workers()) w->poll(core_->phase());
        }
        forget();
    }

    void forget() {
        core_.reset();
        volume_.reset();
        in_flight_.clear();
        world_.power_on();
    }

    void close() {
        core_->stop_requests();
        if (!poll_until([&] { return core_->requests_in_flight() == 0; }, "requests")) return cut();
        for (const Phase phase : {Phase::draining, Phase::erasing, Phase::flushing}) {
            core_->begin_phase(phase);
            if (!poll_until([&] { return core_->reached(phase); }, "closing")) return cut();
        }
        const Status closed = core_->finish_close();
        if (!closed && !may_fail_) violate("close: " + closed.error().message);
        // Whatever a drive still holds back is as good as on media.
        world_.cut();
        forget();
    }

    // Opens the damaged array, compares everything, writes, closes.
    void look(bool again) {
        // An open that met a bad page of the table leaves the array for the next to recover.
        const bool older = harm_.excuses_older(clean_) || (again && harm_.excuses_older(false));
        const bool lost =
            harm_.excuses_media_errors(clean_) || (again && harm_.excuses_media_errors(false));
        may_fail_ = lost || older;
        if (!open()) {
            ++result_.refusals;
            const bool excused =
                harm_.excuses_refusal(clean_) || (again && (harm_.excuses_refusal(false)));
            if (!excused) return violate("open: " + refusal_);
            const bool names = refusal_.find("qlc") != std::string::npos ||
                               refusal_.find("scm") != std::string::npos ||
                               refusal_.find("band ") != std::string::npos;
            if (!names) violate("open names no place: " + refusal_);
            return;
        }
        if (volume_ == nullptr) {
            if (!harm_.superblock_lost) violate("the volume is gone");
            return close();
        }
        compare(older, lost);
        if (!good()) return cut();
        load(rng_.below(200));
        if (!good()) return cut();
        close();
    }

    void compare(bool older, bool lost) {
        Buffer buffer(16 * kBlockBytes);
        for (std::uint64_t b = 0; b < blocks_.size() && good();) {
            // A block whose neighbour is lost must be read alone.
            std::uint64_t n = std::min<std::uint64_t>(16, blocks_.size() - b);
            Status outcome = read(b, n, buffer);
            if (!good()) return;
            if (!outcome) {
                n = 1;
                outcome = read(b, n, buffer);
            }
            if (!good()) return;
            if (!outcome) {
                ++result_.blocks_lost;
                if (!lost) violate(fmt::format("block {}: {}", b, outcome.error().message));
                blocks_[b].allowed = blocks_[b].ever;
            }
            for (std::uint64_t i = 0; outcome && i < n; ++i)
                compare_block(b + i, buffer.data() + i * kBlockBytes, older);
            b += n;
        }
    }

    Status read(std::uint64_t first, std::uint64_t count, Buffer& buffer) {
        bool finished = false;
        Status outcome;
        Request request{Op::read, first * kBlockBytes, count * kBlockBytes, buffer.data(),
                        [&](Status status) {
                            outcome = std::move(status);
                            finished = true;
                        }};
        if (auto taken = core_->submit(*volume_, std::move(request)); !taken)
            violate("read: " + taken.error().message);
        poll_until([&] { return finished; }, "a read");
        return outcome;
    }

    void compare_block(std::uint64_t number, const std::byte* bytes, bool older) {
        Block& block = blocks_[number];
        const auto stamp = stamp_of(bytes, number);
        if (stamp && block.allowed.contains(*stamp)) {
            if (!older) block.allowed = {*stamp};  // it must not change again by itself
            return;
        }
        if (stamp && older && block.ever.contains(*stamp)) {
            ++result_.blocks_older;
            return;
        }
        std::string allowed;
        for (const std::uint64_t s : block.allowed) allowed += fmt::format(" {}", s);
        violate(fmt::format("block {} reads {}, allowed:{}", number,
                            stamp ? std::to_string(*stamp) : "strange bytes", allowed));
    }

    World world_;
    Random& rng_;
    Options options_;
    std::vector<Media*> qlc_, scm_;
    std::unique_ptr<Core> core_;
    std::shared_ptr<VolumeState> volume_;
    std::vector<Block> blocks_;
    std::vector<std::unique_ptr<Write>> in_flight_;
    std::uint64_t stamp_ = 0;
    bool clean_ = false, may_fail_ = false;
    std::string refusal_;
    Harm harm_;
    DamageResult result_;
};

}  // namespace

DamageResult run_damaged(std::uint64_t seed) { return DamagedArray(seed).run(); }

}  // namespace qlcshape::sim
