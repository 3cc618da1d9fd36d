// SPDX-License-Identifier: Apache-2.0
#include "tools/demo_run.h"

#include <filesystem>

#include "base/error.h"
#include "tools/inplace.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"

namespace qlcshape::tools {

namespace {

constexpr std::uint64_t kSeed = 20;
constexpr double kOverwritePasses = 2;
constexpr double kKillPercent = 70;
constexpr double kInplaceSeconds = 5;
constexpr double kInplaceSecondsSmall = 2;  // for volumes under 1 GiB
constexpr std::size_t kLostDrives[] = {1, 6};

std::string blocks_text(std::uint64_t blocks) { return count_text(static_cast<double>(blocks)); }
std::uint64_t overwrite_bytes(std::uint64_t volume_bytes) {
    return static_cast<std::uint64_t>(kOverwritePasses * static_cast<double>(volume_bytes));
}

// Files moved aside, and back again when this ends.
class Away {
  public:
    explicit Away(std::string folder) : folder_(std::move(folder)) {}
    ~Away() { static_cast<void>(back()); }

    Status move(const std::string& path) {
        std::error_code error;
        std::filesystem::create_directory(folder_, error);
        const std::string to = folder_ + "/" + std::filesystem::path(path).filename().string();
        std::filesystem::rename(path, to, error);
        if (error)
            return fail(Errc::io_error, "{}: cannot be moved to {}: {}", path, to, error.message());
        moved_.emplace_back(path, to);
        return {};
    }

    Status back() {
        Status status;
        for (const auto& [path, to] : moved_) {
            std::error_code error;
            std::filesystem::rename(to, path, error);
            if (error)
                status = fail(Errc::io_error, "{}: cannot be moved back: {}", to, error.message());
        }
        moved_.clear();
        std::error_code ignored;
        std::filesystem::remove(folder_, ignored);
        return status;
    }

  private:
    std::string folder_;
    std::vector<std::pair<std::string, std::string>> moved_;
};

}  // namespace

Demo::Demo(const std::string& folder, const Options& options, std::uint64_t volume_bytes,
           std::FILE* out)
    : folder_(folder),
      options_(options),
      table_(volume_bytes, kVolumeBlockBytes, new_run_key(kSeed), true),
      out_(out) {
    result_.volume_bytes = volume_bytes;
    result_.strip_bytes = options.strip_bytes;
    options_.progress = progress_.callback();
}

Result<DemoResult> Demo::run() {
    const auto began = Clock::now();
    {
        Writer writer;  // before this process has threads
        begin_step();
        QS_TRY(make_and_fill(writer));
        QS_TRY(overwrite_and_kill(writer));
    }
    QS_TRY(recover_and_verify());
    QS_TRY(overwrite_on());
    QS_TRY(check());
    QS_TRY(lose_two_drives());
    QS_TRY(compare_in_place());
    result_.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    return std::move(result_);
}

Status Demo::make_and_fill(Writer& writer) {
    Options quiet = options_;
    quiet.progress = {};
    QS_TRY(writer.start(
        {&quiet, &table_, result_.volume_bytes, overwrite_bytes(result_.volume_bytes)}));
    QS_TRY(writer.wait_until(Writer::filling, 0, {}));
    const Result<Stats> made = Engine::inspect(options_);
    end_step("create",
             made ? fmt::format("8+2 QLC and 2 SCM files: {} raw, a volume of {}",
                                size_text(made->space.raw_bytes), size_text(result_.volume_bytes))
                  : fmt::format("8+2 QLC and 2 SCM files, a volume of {}",
                                size_text(result_.volume_bytes)));
    begin_step();
    QS_TRY(writer.wait_until(Writer::overwriting, 0, {}));
    end_step("fill", fmt::format("{} blocks in order", blocks_text(table_.units())));
    return {};
}

Status Demo::overwrite_and_kill(Writer& writer) {
    begin_step();
    const auto watch = [&](double percent, double per_second) {
        progress_.update("overwrite", percent, rate_text(per_second));
    };
    QS_TRY(writer.wait_until(Writer::overwriting, kKillPercent, watch));
    writer.kill();
    std::uint64_t in_flight = 0;
    for (std::uint64_t unit = 0; unit < table_.units(); ++unit) {
        result_.acknowledged_at_kill +=
            table_.entry(unit).acknowledged - 1;  // the first was the fill
        in_flight += table_.busy(unit) ? 1 : 0;
    }
    end_step("kill -9", fmt::format("after {} random 4 KiB writes, with {} in flight",
                                    blocks_text(result_.acknowledged_at_kill), in_flight));
    return {};
}

Status Demo::recover_and_verify() {
    begin_step();
    auto engine = Engine::open(options_);
    if (!engine) return fail(engine.error());
    engine_ = std::move(*engine);
    result_.recovery = engine_->stats().recovery;
    end_step("recover", fmt::format("{}, in {}: {} segments scanned, {} blocks from the TPS",
                                    result_.recovery.kind, seconds_text(result_.recovery.seconds),
                                    blocks_text(result_.recovery.segments_scanned),
                                    blocks_text(result_.recovery.blocks_replayed)));
    begin_step();
    const auto volume = engine_->open_volume(kDemoVolume);
    if (!volume) return fail(volume.error());
    auto verified = verify(*volume);
    if (!verified) return fail(verified.error());
    result_.after_kill = std::move(*verified);
    end_step("verify", fmt::format("{} blocks read back: {} wrong ({} hold what was in flight)",
                                   blocks_text(result_.after_kill.blocks),
                                   result_.after_kill.mismatches, result_.after_kill.newer));
    name_wrong(result_.after_kill);
    return {};
}

Status Demo::overwrite_on() {
    begin_step();
    const auto volume = engine_->open_volume(kDemoVolume);
    if (!volume) return fail(volume.error());
    const std::uint64_t written = result_.acknowledged_at_kill * kVolumeBlockBytes;
    const std::uint64_t least = result_.volume_bytes / 4;
    const std::uint64_t wanted = overwrite_bytes(result_.volume_bytes);
    LoadOptions load;
    load.depth = kDemoDepth;
    load.seed = kSeed;
    load.total_bytes = wanted > written + least ? wanted - written : least;
    load.progress = [&](const LoadProgress& now) {
        progress_.update("overwrite", now.percent, now.text());
    };
    const Stats before = engine_->stats();
    auto done = run_load(*volume, load, &table_);
    if (!done) return fail(done.error());
    result_.load = std::move(*done);
    result_.run = difference(engine_->stats(), before);
    QS_TRY(engine_->close());
    engine_.reset();
    if (stop_requested) return fail(Errc::closed, "interrupted");
    end_step("overwrite",
             fmt::format(
                 "{} more random writes: {}, WAF {:.2f}; closed", blocks_text(result_.load.writes),
                 rate_text(ratio(static_cast<double>(result_.load.writes), result_.load.seconds)),
                 result_.run.waf_data));
    return {};
}

Status Demo::check() {
    begin_step();
    auto report = Engine::check(options_);
    if (!report) return fail(report.error());
    result_.check = std::move(*report);
    end_step("check",
             fmt::format("{} blocks, {} stripes, {} table entries: {} problems",
                         blocks_text(result_.check.blocks), blocks_text(result_.check.stripes),
                         blocks_text(result_.check.pmt_entries), result_.check.problems_found));
    for (const std::string& problem : result_.check.problems) write_to(out_, "    {}\n", problem);
    return {};
}

Status Demo::lose_two_drives() {
    begin_step();
    Away away(folder_ + "/away");
    std::string names;
    for (const std::size_t drive : kLostDrives) {
        const std::string& path = options_.devices[drive].path;
        QS_TRY(away.move(path));
        names += (names.empty() ? "" : " and ") + std::filesystem::path(path).filename().string();
    }
    QS_TRY(verify_without_them(options_));
    QS_TRY(away.back());
    end_step("lose two",
             fmt::format("{} gone; {} blocks read back: {} wrong", names,
                         blocks_text(result_.after_loss.blocks), result_.after_loss.mismatches));
    name_wrong(result_.after_loss);
    return {};
}

Status Demo::verify_without_them(const Options& options) {
    auto engine = Engine::open(options);
    if (!engine) return fail(engine.error());
    const auto volume = (*engine)->open_volume(kDemoVolume);
    if (!volume) return fail(volume.error());
    auto verified = verify(*volume);
    if (!verified) return fail(verified.error());
    result_.after_loss = std::move(*verified);
    return (*engine)->close();
}

Status Demo::compare_in_place() {
    begin_step();
    const double seconds = result_.volume_bytes < GiB ? kInplaceSecondsSmall : kInplaceSeconds;
    auto inplace = run_inplace_beside(options_, kDemoDepth, seconds, kSeed, [&](double percent) {
        progress_.update("in place", percent);
    });
    if (!inplace) return fail(inplace.error());
    result_.inplace = *inplace;
    end_step("in place",
             fmt::format("RAID6 without shaping, on files of the same size: {}",
                         rate_text(ratio(static_cast<double>(inplace->writes), inplace->seconds))));
    return {};
}

void Demo::begin_step() { step_began_ = Clock::now(); }

void Demo::end_step(const std::string& what, const std::string& text) {
    progress_.clear();
    const double seconds = std::chrono::duration<double>(Clock::now() - step_began_).count();
    write_to(out_, "{:>2}  {:<10} {:<68} {:>8}\n", ++step_, what, text, seconds_text(seconds));
    std::fflush(out_);
}

void Demo::name_wrong(const VerifyResult& verified) {
    for (const std::string& line : verified.first) write_to(out_, "    {}\n", line);
}

Result<VerifyResult> Demo::verify(const Volume& volume) {
    auto verified =
        verify_volume(volume, table_, [&](double percent) { progress_.update("verify", percent); });
    if (stop_requested) return fail(Errc::closed, "interrupted");
    return verified;
}

}  // namespace qlcshape::tools
