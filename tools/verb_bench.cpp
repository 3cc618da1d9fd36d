// SPDX-License-Identifier: Apache-2.0
// bench: a load against a volume of an array, or of the same array made of memory.
#include <algorithm>
#include <memory>

#include "base/buffer.h"
#include "base/error.h"
#include "device/device.h"
#include "tools/bench_plan.h"
#include "tools/bench_report.h"
#include "tools/inplace.h"
#include "tools/progress.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

constexpr std::uint64_t kPrefillBytes = MiB;
const std::string kMemoryVolume = "bench";

struct Session {
    std::unique_ptr<Engine> engine;
    std::optional<Volume> volume;
};

Result<std::string> choose_volume(const std::string& wanted,
                                  const std::vector<VolumeInfo>& volumes) {
    if (!wanted.empty()) return wanted;
    if (volumes.size() == 1) return volumes.front().name;
    if (volumes.empty()) {
        return fail(
            Errc::not_found,
            "the array has no volume: create one with qlcshape volume create, or use --memory");
    }
    std::string names;
    for (const VolumeInfo& volume : volumes) names += (names.empty() ? "" : ", ") + volume.name;
    return fail(Errc::invalid_argument, "--volume: the array has several, choose one: {}", names);
}

Result<Session> open_session(const BenchArguments& arguments, const Options& options) {
    if (arguments.memory) QS_TRY(Engine::create(options, true));
    auto engine = Engine::open(options);
    if (!engine) return fail(engine.error());
    if (arguments.memory) {
        QS_TRY((*engine)->create_volume(kMemoryVolume, (*engine)->stats().space.writable_bytes));
    }
    const auto name = choose_volume(arguments.volume, (*engine)->volumes());
    if (!name) return fail(name.error());
    auto volume = (*engine)->open_volume(*name);
    if (!volume) return fail(volume.error());
    return Session{std::move(*engine), std::move(*volume)};
}

// Writes the whole volume once, in order.
Status prefill(const Volume& volume, LoadOptions load, StampTable* table, ProgressLine& progress) {
    load.random = false;
    load.trim = false;
    load.write_percent = 100;
    load.units_per_request = std::max<std::uint64_t>(kPrefillBytes / load.unit_bytes, 1);
    load.depth = std::min(load.depth, 16u);
    load.total_bytes = round_down(volume.size_bytes(), load.unit_bytes);
    load.seconds = 0;
    load.progress = [&](const LoadProgress& now) {
        progress.update("prefill", now.percent, now.text());
    };
    const auto result = run_load(volume, load, table);
    if (!result) return fail(result.error());
    return {};
}

// Null without --verify.
Result<std::unique_ptr<StampTable>> make_table(const BenchArguments& arguments,
                                               const LoadOptions& load, const Volume& volume) {
    if (!arguments.verify) return nullptr;
    const std::uint64_t run_key = new_run_key(load.seed);
    if (!arguments.verify_state.empty()) {
        return StampTable::on_file(arguments.verify_state, volume.size_bytes(), load.unit_bytes,
                                   run_key);
    }
    return std::make_unique<StampTable>(volume.size_bytes(), load.unit_bytes, run_key,
                                        arguments.memory);
}

Status verify_into(std::optional<VerifyResult>& into, const Volume& volume, StampTable& table,
                   ProgressLine& progress) {
    auto verified =
        verify_volume(volume, table, [&](double percent) { progress.update("verify", percent); });
    if (!verified) return fail(verified.error());
    into = std::move(*verified);
    return {};
}

Status run_on(Session& session, const BenchArguments& arguments, LoadOptions& load,
              BenchResult& result, ProgressLine& progress) {
    const Volume& volume = *session.volume;
    result.volume = volume.name();
    result.volume_bytes = volume.size_bytes();
    load.total_bytes = bytes_to_transfer(arguments, volume.size_bytes());
    auto made = make_table(arguments, load, volume);
    if (!made) return fail(made.error());
    StampTable* const table = made->get();
    if (table != nullptr && table->resumed()) {
        QS_TRY(verify_into(result.resumed, volume, *table, progress));
        if (result.mismatches() != 0) return {};
    }
    if (arguments.prefill) QS_TRY(prefill(volume, load, table, progress));

    load.progress = [&](const LoadProgress& now) {
        progress.update(arguments.rw, now.percent, now.text());
    };
    const Stats before = session.engine->stats();
    auto done = run_load(volume, load, table);
    if (!done) return fail(done.error());
    result.load = std::move(*done);
    result.run = difference(session.engine->stats(), before);

    if (table == nullptr) return {};
    return verify_into(result.verified, volume, *table, progress);
}

// Writes all of the memory devices once, so that the kernel's page faults are not in what is
// measured.
Status touch_memory(const Options& options, ProgressLine& progress) {
    IoQueue queue;
    const Buffer zeroes(MiB);
    for (std::size_t i = 0; i < options.devices.size(); ++i) {
        progress.update("touching memory", 100.0 * static_cast<double>(i) /
                                               static_cast<double>(options.devices.size()));
        const DeviceOptions& d = options.devices[i];
        auto device = open_device(d.path, d.size_bytes, Access::read_write, true);
        if (!device) return fail(device.error());
        for (std::uint64_t at = 0; at + MiB <= d.size_bytes; at += MiB) {
            QS_TRY(run(queue, {.kind = IoKind::write,
                               .device = device->get(),
                               .offset = at,
                               .bytes = MiB,
                               .data = zeroes.data()}));
        }
    }
    return {};
}

Result<BenchResult> bench(const BenchArguments& arguments, LoadOptions& load) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return fail(options.error());
    if (arguments.memory) options = options->on_memory("bench-");
    ProgressLine progress;
    options->progress = progress.callback();
    options->log = print_log;
    options->read_only = arguments.read_only;
    if (arguments.memory) QS_TRY(touch_memory(*options, progress));
    Result<Session> session = open_session(arguments, *options);
    if (!session) return fail(session.error());
    BenchResult result;
    QS_TRY(run_on(*session, arguments, load, result, progress));
    QS_TRY(session->engine->close());
    if (!arguments.inplace) return result;
    auto inplace =
        run_inplace_beside(*options, load.depth, result.load.seconds, load.seed,
                           [&](double percent) { progress.update("in place", percent); });
    if (!inplace) return fail(inplace.error());
    result.inplace = *inplace;
    return result;
}

int run_bench(const BenchArguments& arguments) {
    Result<LoadOptions> load = plan_load(arguments);
    if (!load) return report_error("bench", arguments.json, load.error());
    stop_on_signals();
    const Result<BenchResult> result = bench(arguments, *load);
    if (!result) return report_error("bench", arguments.json, result.error());
    (arguments.json ? print_json : print_text)(arguments, *load, *result);
    return result->mismatches() == 0 ? kDone : kFoundProblem;
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
    auto a = std::make_shared<BenchArguments>();
    CLI::App* verb = app.add_subcommand("bench", "put a load on a volume and measure it");
    a->add_to(*verb);
    verb->add_option("--volume", a->volume, "volume to use; a load that writes overwrites it");
    verb->add_flag("--read-only", a->read_only,
                   "write nothing to any drive, also after a crash; for loads that only read");
    verb->add_flag("--memory", a->memory, "use memory devices of the same sizes, and a new volume");
    verb->add_option("--rw", a->rw, "kind of load")
        ->type_name("{read,write,trim,rw,randread,randwrite,randtrim,randrw}")
        ->capture_default_str();
    verb->add_option("--rwmixread", a->rwmixread, "percent of reads in rw and randrw")
        ->capture_default_str();
    verb->add_option("--bs", a->bs, "bytes per request, a multiple of 512")->capture_default_str();
    verb->add_option("--iodepth", a->iodepth, "requests in flight")->capture_default_str();
    verb->add_option("--random-distribution", a->distribution, "uniform, or zipf:T, as zipf:0.99")
        ->capture_default_str();
    verb->add_option("--size", a->size, "bytes to transfer; default: the volume's size");
    verb->add_option("--passes", a->passes, "transfer this many times the volume's size");
    verb->add_option("--runtime", a->runtime, "stop after this many seconds");
    verb->add_flag("--prefill", a->prefill, "write the whole volume once before; not counted");
    verb->add_flag("--verify", a->verify, "check every read, and read back everything at the end");
    verb->add_option("--verify-state", a->verify_state,
                     "keep what was acknowledged in this file; if it is there, verify that first");
    verb->add_option("--seed", a->seed, "seed of the random offsets")->capture_default_str();
    verb->add_flag(
        "--inplace", a->inplace,
        "then run in-place RAID6 for the same time on scratch files next to the devices");
    verb->callback([a, &exit_code] { exit_code = run_bench(*a); });
}

}  // namespace qlcshape::tools
