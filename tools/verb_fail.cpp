// SPDX-License-Identifier: Apache-2.0
// fail: a drive is taken out for good, in the process that has the array open; where none has, this
// one opens it.
#include <memory>

#include "admin/holder.h"
#include "base/error.h"
#include "tools/named_drive.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

struct FailArguments : CommonArguments {
    std::string drive;
};

Result<Engine::Replaced> fail_here(const Options& options, const std::string& drive) {
    auto engine = Engine::open(options);
    if (!engine) return fail(engine.error());
    const auto failed = (*engine)->fail_device(drive);
    const Status closed = (*engine)->close();
    if (!failed) return failed;
    QS_TRY(closed);
    return failed;
}

Result<Engine::Replaced> fail_drive(const FailArguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print_log;
    ProgressLine progress;
    options->progress = progress.callback();
    if (arguments.drive.empty())
        return fail(Errc::invalid_argument, "DRIVE: an empty word names no drive");
    const std::string drive = named_drive(*options, arguments.array_file, arguments.drive);
    const auto holder = Holder::of(*options);
    if (!holder) return fail_here(*options, drive);
    const auto there = named_there(*holder, drive);
    if (!there) return fail(there.error());
    return holder->fail_device(*there);
}

int run_fail(const FailArguments& arguments) {
    const Result<Engine::Replaced> drive = fail_drive(arguments);
    if (!drive) return report_error("fail", arguments.json, drive.error());
    const char* const role = drive->role == Role::qlc ? "qlc" : "scm";
    if (arguments.json) {
        Json object = new_object("fail");
        object["role"] = role;
        object["index"] = drive->index;
        print(object);
        return kDone;
    }
    say("{}: {} drive {} is out, and stays out until it is replaced (`qlcshape replace`).\n",
        arguments.drive, role, drive->index);
    return kDone;
}

}  // namespace

void add_fail(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<FailArguments>();
    CLI::App* verb = app.add_subcommand("fail", "take a drive out until it is replaced");
    arguments->add_to(*verb);
    verb->add_option("DRIVE", arguments->drive, "its path in the array file, or its device UUID")
        ->required();
    verb->callback([arguments, &exit_code] { exit_code = run_fail(*arguments); });
}

}  // namespace qlcshape::tools
