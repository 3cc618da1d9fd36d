// SPDX-License-Identifier: Apache-2.0
// check: reads a closed array completely and says what is wrong with it.
#include <fmt/format.h>

#include <memory>

#include "tools/progress.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

Result<CheckReport> check(const CommonArguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    ProgressLine progress;
    options->progress = progress.callback();
    return Engine::check(*options);
}

void print_json(const CheckReport& report) {
    Json object = new_object("check");
    object["bands"] = report.bands;
    object["segments"] = report.segments;
    object["blocks"] = report.blocks;
    object["stripes"] = report.stripes;
    object["pmt_entries"] = report.pmt_entries;
    object["clean_close"] = report.clean_close;
    object["seconds"] = report.seconds;
    object["problems_found"] = report.problems_found;
    object["problems"] = report.problems;
    print(object);
}

void print_text(const CheckReport& report) {
    for (const std::string& problem : report.problems) say("{}\n", problem);
    if (report.problems_found > report.problems.size()) {
        say("and {} more\n", report.problems_found - report.problems.size());
    }
    const auto count = [](std::uint64_t n) { return count_text(static_cast<double>(n)); };
    say("checked {} bands, {} segments, {} blocks, {} stripes, {} table entries in {}\n",
        count(report.bands), count(report.segments), count(report.blocks), count(report.stripes),
        count(report.pmt_entries), seconds_text(report.seconds));
    if (!report.clean_close) {
        say("the array was not closed cleanly: the table was not compared with the headers\n");
    }
    say("{}\n", report.problems_found == 0
                    ? std::string("no problems")
                    : count(report.problems_found) +
                          (report.problems_found == 1 ? " problem" : " problems"));
}

int run_check(const CommonArguments& arguments) {
    const Result<CheckReport> report = check(arguments);
    if (!report) return report_error("check", arguments.json, report.error());
    if (arguments.json) {
        print_json(*report);
    } else {
        print_text(*report);
    }
    return report->problems_found == 0 ? kDone : kFoundProblem;
}

}  // namespace

void add_check(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<CommonArguments>();
    CLI::App* verb = app.add_subcommand(
        "check", "verify a closed array: structures, checksums, parity, mapping table");
    arguments->add_to(*verb);
    verb->callback([arguments, &exit_code] { exit_code = run_check(*arguments); });
}

}  // namespace qlcshape::tools
