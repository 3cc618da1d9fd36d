// SPDX-License-Identifier: Apache-2.0
// scrub: a pass over all that lies in closed bands, in the process that has the array open; where
// none has, this one opens it.
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "admin/holder.h"
#include "base/error.h"
#include "tools/load.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

constexpr std::chrono::milliseconds kInterval(200);

struct ScrubArguments : CommonArguments {
    bool start = false, stop = false, wait = false;
    std::string rate;

    bool waits() const { return wait || (!start && !stop); }
    bool starts() const { return start || (!wait && !stop); }
};

struct ScrubOutcome {
    Stats before, after;
    std::string state = "done";  // "started", "stopped"
    double seconds = 0;
};

using ScrubLook = std::function<Result<Stats>()>;

// Until that pass is no longer under way. An error where it did not come to its end.
Status wait_for(std::uint64_t pass, const ScrubLook& look, ScrubOutcome& outcome) {
    ProgressLine progress;
    for (;;) {
        auto now = look();
        if (!now) return fail(now.error());
        outcome.after = std::move(*now);
        const Stats& s = outcome.after;
        if (s.state == "failed")
            return fail(Errc::io_error, "writing has ended {}; {}", s.cause, s.remedy);
        if (s.epoch != outcome.before.epoch || s.scrub.passes_asked < pass)
            return fail(Errc::closed, "the array was closed before the pass had ended");
        if (s.scrub.passes_asked > pass)
            return fail(Errc::busy, "another pass has been begun since; wait for that: --wait");
        if (s.scrub.asked == "stopped")
            return fail(Errc::busy, "the pass was stopped before its end");
        if (s.scrub.asked == "ended") return {};
        if (stop_requested) return fail(Errc::busy, "interrupted before the end of the pass");
        std::string detail = size_text(s.scrub.bytes_per_second) + "/s";
        if (s.scrub.bands_damaged != 0) detail += ", waits for a damaged band to be rewritten";
        progress.update("scrub", s.scrub.percent, detail);
        std::this_thread::sleep_for(kInterval);
    }
}

// Of a Holder or an Engine.
template <class Array>
Status carry_out(const Array& array, const ScrubLook& look, const ScrubArguments& arguments,
                 std::uint64_t rate, ScrubOutcome& outcome) {
    const auto began = std::chrono::steady_clock::now();
    auto before = look();
    if (!before) return fail(before.error());
    outcome.before = outcome.after = std::move(*before);
    if (arguments.stop) {
        outcome.state = "stopped";
        return array->stop_scrub();
    }
    if (!arguments.starts() && outcome.before.scrub.asked.empty())
        return fail(Errc::not_found,
                    "no pass was asked for since the array was opened; "
                    "start one: --start");
    if (arguments.starts()) QS_TRY(array->start_scrub(rate));
    outcome.state = "started";
    if (!arguments.waits()) return {};
    auto started = look();
    if (!started) return fail(started.error());
    QS_TRY(wait_for(started->scrub.passes_asked, look, outcome));
    outcome.state = "done";
    outcome.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return {};
}

Result<ScrubOutcome> scrub(const ScrubArguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print_log;
    std::uint64_t rate = 0;
    if (!arguments.rate.empty()) {
        if (!arguments.starts())
            return fail(Errc::invalid_argument, "--rate: it is given where a pass is started");
        const Result<std::uint64_t> bytes = parse_amount(arguments.rate);
        if (!bytes) return fail(bytes.error().code, "--rate: {}", bytes.error().message);
        if (*bytes == 0) return fail(Errc::invalid_argument, "--rate: it must be more than 0");
        rate = *bytes;
    }
    stop_on_signals();
    ScrubOutcome outcome;
    if (const auto holder = Holder::of(*options)) {
        QS_TRY(carry_out(
            &*holder, [&] { return holder->stats(); }, arguments, rate, outcome));
        return outcome;
    }
    if (!arguments.waits() || !arguments.starts()) {
        return fail(Errc::not_found,
                    "no process of this user has the array open, so no pass can be begun, waited "
                    "for or stopped there; without --start, --stop and --wait this command opens "
                    "it itself");
    }
    std::unique_ptr<Engine> engine;
    {
        ProgressLine progress;
        options->progress = progress.callback();
        auto opened = Engine::open(*options);
        if (!opened) return fail(opened.error());
        engine = std::move(*opened);
    }
    const Status carried = carry_out(
        engine, [&]() -> Result<Stats> { return engine->stats(); }, arguments, rate, outcome);
    const Status closed = engine->close();
    QS_TRY(carried);
    QS_TRY(closed);
    return outcome;
}

void print_json(const ScrubOutcome& outcome) {
    const Stats::Scrub& now = outcome.after.scrub;
    Json object = new_object("scrub");
    object["state"] = outcome.state;
    object["bytes_read"] = now.bytes_read - outcome.before.scrub.bytes_read;
    if (outcome.state == "done") {
        object["strips_wrong"] = now.strips_wrong_now;
        object["strips_left_out"] = now.strips_left_out;
    }
    object["bands_damaged"] = now.bands_damaged;
    object["bands_not_mended"] = now.bands_not_mended;
    object["bands_out_of_use"] = outcome.after.bands.out_of_use;
    object["seconds"] = outcome.seconds;
    print(object);
}

// By drive, as far as the array was open all the time.
void print_wrong_drives(const ScrubOutcome& outcome) {
    for (const DeviceStatus& d : outcome.after.devices) {
        std::uint64_t errors = d.checksum_errors;
        for (const DeviceStatus& before : outcome.before.devices)
            errors -= before.uuid == d.uuid ? before.checksum_errors : 0;
        if (errors != 0)
            say("  {}: {} blocks, the last at offset {}\n", d.path, errors,
                d.last_checksum_error_offset);
    }
}

void print_text(const ScrubOutcome& outcome) {
    if (outcome.state != "done") return say("the pass is {}\n", outcome.state);
    const Stats::Scrub& now = outcome.after.scrub;
    say("read {} in {}\n", size_text(now.bytes_read - outcome.before.scrub.bytes_read),
        seconds_text(outcome.seconds));
    if (now.strips_wrong_now == 0) {
        say("all that was read is as it was written\n");
    } else {
        say("{} strips were not what was written; what is valid in their bands is rewritten\n",
            now.strips_wrong_now);
        print_wrong_drives(outcome);
    }
    if (now.strips_left_out != 0)
        say("{} strips were not read, since their drives are missing or can't be read\n",
            now.strips_left_out);
    if (now.bands_damaged != 0) say("{} bands are still to be rewritten\n", now.bands_damaged);
    if (now.bands_not_mended + outcome.after.bands.out_of_use != 0)
        say("{} bands can't be rewritten: `qlcshape status`\n",
            now.bands_not_mended + outcome.after.bands.out_of_use);
}

int run_scrub(const ScrubArguments& arguments) {
    const Result<ScrubOutcome> outcome = scrub(arguments);
    if (!outcome) return report_error("scrub", arguments.json, outcome.error());
    if (arguments.json)
        print_json(*outcome);
    else
        print_text(*outcome);
    const bool found = outcome->state == "done" && outcome->after.scrub.strips_wrong_now != 0;
    return found ? kFoundProblem : kDone;
}

}  // namespace

void add_scrub(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<ScrubArguments>();
    CLI::App* verb = app.add_subcommand(
        "scrub", "read all that is on the QLC drives, and rewrite what is damaged");
    arguments->add_to(*verb);
    verb->add_flag("--start", arguments->start, "begin a pass, and don't wait for its end");
    verb->add_flag("--wait", arguments->wait, "wait for the end of a pass that is under way");
    verb->add_flag("--stop", arguments->stop, "end a pass that was asked for")
        ->excludes("--start")
        ->excludes("--wait");
    verb->add_option("--rate", arguments->rate,
                     "bytes a second, as 100MiB; otherwise as fast as it goes");
    verb->callback([arguments, &exit_code] { exit_code = run_scrub(*arguments); });
}

}  // namespace qlcshape::tools
