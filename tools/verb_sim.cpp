// SPDX-License-Identifier: Apache-2.0
// sim: the whole engine under simulated faults, seed by seed, verified by an oracle. Two processes
// share the seeds, so that two cores are used and a failed assertion names its seed.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <map>
#include <memory>

#include "base/error.h"
#include "sim/sim_campaign.h"
#include "sim/sim_sequence.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

using namespace sim;

struct SimArguments {
    std::string seeds = "1..100";
    std::string profile = "cuts";
    std::uint32_t cycles = 0;
    bool json = false;
};

// From a child to its parent through a pipe: short enough to arrive whole.
struct Message {
    std::uint64_t seed = 0;
    bool ended = false;
    RunCounts counts;
    char violation[400] = {};
};
static_assert(sizeof(Message) <= 4096 && std::is_trivially_copyable_v<Message>);

Result<Campaign> plan(const SimArguments& arguments) {
    Campaign campaign;
    campaign.cycles = arguments.cycles;
    if (!profile_of(arguments.profile, campaign.profile)) {
        return fail(Errc::invalid_argument, "--profile {}: it is one of {}", arguments.profile,
                    profile_names());
    }
    unsigned long long first = 0, last = 0;
    int end = 0;
    const bool range =
        std::sscanf(arguments.seeds.c_str(), "%llu..%llu%n", &first, &last, &end) == 2;
    if (!range || static_cast<std::size_t>(end) != arguments.seeds.size() || last < first) {
        return fail(Errc::invalid_argument, "--seeds {}: give a range, as 1..100", arguments.seeds);
    }
    if (campaign.profile == Profile::sequences && (first < 1 || last > kSequences)) {
        return fail(Errc::invalid_argument, "--seeds {}: there are sequences 1 to {}",
                    arguments.seeds, kSequences);
    }
    campaign.first = first;
    campaign.last = last;
    return campaign;
}

void send(int pipe, const Message& message) {
    if (::write(pipe, &message, sizeof(message)) != sizeof(message)) ::_exit(kCouldNotRun);
}

[[noreturn]] void run_child(Campaign campaign, int pipe) {
    campaign.begins = [pipe](std::uint64_t seed) { send(pipe, Message{seed, false, {}, {}}); };
    campaign.ended = [pipe](std::uint64_t seed, const RunResult& result) {
        Message message{seed, true, result, {}};
        std::strncpy(message.violation, result.violation.c_str(), sizeof(message.violation) - 1);
        send(pipe, message);
    };
    run_campaign(campaign);
    ::_exit(kDone);
}

class Run {
  public:
    Run(const Campaign& campaign, bool json) : campaign_(campaign), json_(json) {}

    int run() {
        const auto begun = std::chrono::steady_clock::now();
        int pipes[2];
        if (::pipe(pipes) != 0) return could_not("make a pipe");
        Campaign part = campaign_;
        part.step = campaign_.first == campaign_.last ? 1 : 2;
        for (std::uint64_t i = 0; i < part.step; ++i) {
            part.first = campaign_.first + i;
            const pid_t child = ::fork();
            if (child < 0) return could_not("fork");
            if (child == 0) {
                ::close(pipes[0]);  // it ends when nobody reads any more
                run_child(part, pipes[1]);
            }
            children_.push_back(child);
        }
        ::close(pipes[1]);
        Message message;
        while (::read(pipes[0], &message, sizeof(message)) == sizeof(message)) see(message);
        ::close(pipes[0]);
        for (const pid_t child : children_) reap(child);
        seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        progress_.clear();
        json_ ? print_json() : print_text();
        return result_.failures.empty() ? kDone : kFoundProblem;
    }

  private:
    int could_not(const char* what) const {
        return report_error(
            "sim", json_,
            Error{Errc::io_error, fmt::format("could not {}: {}", what, std::strerror(errno))});
    }

    void see(const Message& message) {
        if (!message.ended) {
            ++running_[message.seed];
            return;
        }
        running_.erase(message.seed);
        ++result_.seeds;
        result_.sum.add(message.counts);
        if (message.violation[0] != 0) fail_seed(message.seed, message.violation);
        const double all = static_cast<double>(campaign_.last - campaign_.first + 1);
        progress_.update("simulating", 100.0 * static_cast<double>(result_.seeds) / all,
                         fmt::format("{} cycles, {} violations", result_.sum.recoveries,
                                     result_.failures.size()));
    }

    void fail_seed(std::uint64_t seed, const std::string& violation) {
        progress_.clear();
        tell("seed {}: {}\n  replay: {}\n", seed, violation, replay(seed));
        result_.failures.push_back({seed, violation});
    }

    std::string replay(std::uint64_t seed) const {
        return replay_command(seed, campaign_.profile, campaign_.cycles);
    }

    // A child that died failed in the seed that it had begun.
    void reap(pid_t child) {
        int status = 0;
        ::waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == kDone) return;
        const std::size_t index = child == children_[0] ? 0 : 1;
        for (const auto& [seed, times] : running_) {
            if ((seed - campaign_.first) % children_.size() == index)
                fail_seed(seed, "the engine ended itself (an assertion, or a signal)");
        }
    }

    double rate() const { return ratio(static_cast<double>(result_.sum.recoveries), seconds_); }

    static void line(const std::string& what, std::uint64_t n) {
        fmt::print("{:<44} {:>12}\n", what, n);
    }

    void print_cycles() const {
        line("seeds", result_.seeds);
        line("cycles: crash, recovery, everything compared", result_.sum.recoveries);
        for (std::size_t i = 0; i < kStates; ++i) {
            line(fmt::format("  of them cut off in the state {}", to_string(static_cast<State>(i))),
                 result_.sum.cycles_by_state[i]);
        }
    }

    void print_text() const {
        const RunCounts& s = result_.sum;
        print_cycles();
        line("power cuts", s.crashes);
        line("  of them during a recovery", s.crashes_in_recovery);
        line("kills of the process without a power cut", s.kills);
        line("  most of those in a row", s.longest_row);
        line("openings for reading", s.degraded_opens);
        line("openings for writing with drives missing", s.away_opens);
        line("openings for writing with an scm drive missing", s.scm_away);
        line("scm drives that came back and were filled", s.scm_returned);
        line("drives that went, or took no writes, while open", s.drives_left);
        line("drives that did not answer, and were given up", s.given_up);
        line("drives replaced while it was closed", s.drives_replaced);
        line("drives replaced while it was open", s.drives_replaced_open);
        line("drives whose bands went to the others", s.drives_spread);
        line("drives that were drained, for a while or to the end", s.drives_drained);
        line("  and removed", s.drives_removed);
        line("scm drives replaced while it was open", s.scm_replaced_open);
        line("qlc drives that came back while it was open", s.drives_returned_open);
        line("scm drives that came back while it was open", s.scm_returned_open);
        line("openings refused for what is missing", s.refused);
        line("openings with older members, refused", s.older_refused);
        line("openings with older members, all right", s.older_taken);
        if (campaign_.profile == Profile::beyond) {
            line("blocks damaged beyond redundancy", s.blocks_damaged);
            line("reads of a block that were errors for it", s.blocks_lost);
            line("openings with damage on both SCM drives", s.mirrors_split);
            line("times that more drives went than are covered", s.drives_away);
        }
        line("clean closes, each verified by check", s.judged);
        line("stripes judged for redundancy", s.stripes_judged);
        line("passes of the scrub, each verified", s.scrubs);
        line("  strips that they found wrong", s.strips_scrubbed);
        line("stops because of faults, by design", s.stops);
        line("operations", s.operations);
        line("  of them reads that use no shard's thread", s.reads_inline);
        line("volumes created", s.volumes_made);
        line("volumes deleted", s.volumes_deleted);
        line("volumes resized", s.volumes_resized);
        line("device events", s.events);
        line("bands moved by GC", s.bands_moved);
        line("bands rebuilt in place", s.bands_rebuilt);
        line("snapshots of the PMT", s.snapshots);
        line("  recoveries from one", s.snapshot_recoveries);
        line("  recoveries from all headers", s.full_recoveries);
        line("checksums that failed", s.verify_failed);
        line("blocks rebuilt", s.reconstructed);
        line("commits retried", s.commit_retries);
        line("persistence points", Coverage::all());
        line("  power cut at, in flight and right after", s.coverage.covered());
        for (const PersistencePoint point : s.coverage.uncovered())
            fmt::print("    never at: {}\n", to_string(point));
        print_faults();
        fmt::print("\n{} in {}: {:.1f} cycles/s; {} violations\n",
                   campaign_.profile == Profile::loop ? fmt::format("{} cuts", s.crashes)
                                                      : fmt::format("{} cycles", s.recoveries),
                   seconds_text(seconds_), rate(), result_.failures.size());
    }

    void print_faults() const {
        if (!any_fault()) return;
        fmt::print("\n");
        Table table({"fault", "injected", "detected", "repaired"});
        for (std::size_t i = 1; i < kFaults; ++i) {
            const FaultCount& c = result_.sum.faults.of[i];
            if (c.injected == 0) continue;
            table.add({to_string(static_cast<Fault>(i)), std::to_string(c.injected),
                       std::to_string(c.detected), std::to_string(c.repaired)});
        }
        fmt::print("{}", table.text());
    }

    bool any_fault() const {
        for (const FaultCount& c : result_.sum.faults.of) {
            if (c.injected != 0) return true;
        }
        return false;
    }

    Json cycles_by_state() const {
        Json cycles = Json::object();
        for (std::size_t i = 0; i < kStates; ++i)
            cycles[to_string(static_cast<State>(i))] = result_.sum.cycles_by_state[i];
        return cycles;
    }

    void print_json() const {
        const RunCounts& s = result_.sum;
        Json object = new_object("sim");
        object["profile"] = to_string(campaign_.profile);
        object["first_seed"] = campaign_.first;
        object["last_seed"] = campaign_.last;
        object["seeds"] = result_.seeds;
        object["seconds"] = seconds_;
        object["cycles"] = s.recoveries;
        object["cycles_per_second"] = rate();
        object["cycles_by_state"] = cycles_by_state();
        object["cuts"] = s.crashes;
        object["cuts_in_recovery"] = s.crashes_in_recovery;
        object["kills"] = s.kills;
        object["longest_row_of_cuts"] = s.longest_row;
        object["degraded_opens"] = s.degraded_opens;
        object["older_refused"] = s.older_refused;
        object["older_taken"] = s.older_taken;
        object["clean_closes"] = s.clean_closes;
        object["judged"] = s.judged;
        object["stripes_judged"] = s.stripes_judged;
        object["stops"] = s.stops;
        object["drives_given_up"] = s.given_up;
        object["drives_returned"] = s.drives_returned_open + s.scm_returned_open;
        object["operations"] = s.operations;
        object["reads_inline"] = s.reads_inline;
        object["device_events"] = s.events;
        object["bands_moved"] = s.bands_moved;
        object["bands_rebuilt"] = s.bands_rebuilt;
        object["snapshots"] = s.snapshots;
        object["recoveries"] = {{"snapshot", s.snapshot_recoveries}, {"full", s.full_recoveries}};
        object["errors"] = {{"verify_failed", s.verify_failed},
                            {"reconstructed", s.reconstructed},
                            {"commit_retries", s.commit_retries}};
        Json faults = Json::object();
        for (std::size_t i = 1; i < kFaults; ++i) {
            const FaultCount& c = s.faults.of[i];
            faults[to_string(static_cast<Fault>(i))] = {
                {"injected", c.injected}, {"detected", c.detected}, {"repaired", c.repaired}};
        }
        object["faults"] = std::move(faults);
        object["coverage"] = {{"points", Coverage::all()},
                              {"cut_at", s.coverage.covered()},
                              {"never_at", s.coverage.uncovered()}};
        Json violations = Json::array();
        for (const Failure& failure : result_.failures) {
            violations.push_back({{"seed", failure.seed},
                                  {"violation", failure.violation},
                                  {"replay", replay(failure.seed)}});
        }
        object["violations"] = std::move(violations);
        print(object);
    }

    const Campaign campaign_;
    const bool json_;
    std::vector<pid_t> children_;
    std::map<std::uint64_t, int> running_;
    CampaignResult result_;
    ProgressLine progress_;
    double seconds_ = 0;
};

int run_sim(const SimArguments& arguments) {
    const auto campaign = plan(arguments);
    if (!campaign) return report_error("sim", arguments.json, campaign.error());
    return Run(*campaign, arguments.json).run();
}

}  // namespace

void add_sim(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<SimArguments>();
    CLI::App* verb = app.add_subcommand(
        "sim", "run the engine on simulated drives with power cuts and faults, and verify it");
    verb->add_option("--seeds", arguments->seeds, "the seeds to run, as 1..100")
        ->capture_default_str();
    verb->add_option("--profile", arguments->profile,
                     "which faults; loop: cuts in a row; sequences: of "
                     "one to three operations, cut after every event")
        ->type_name(fmt::format("{{{}}}", profile_names()))
        ->capture_default_str();
    verb->add_option("--cycles", arguments->cycles,
                     "openings per seed (default 20); with loop the cuts in a row (default 1000)");
    verb->add_flag("--json", arguments->json, "print one JSON object on stdout");
    verb->callback([arguments, &exit_code] { exit_code = run_sim(*arguments); });
}

}  // namespace qlcshape::tools
