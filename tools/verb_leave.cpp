// SPDX-License-Identifier: Apache-2.0
// fail, drain, remove: a drive is to leave, in the process that has the array open; where none has,
// this one opens it.
#include <functional>
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

struct LeaveArguments : CommonArguments {
    std::string drive;
    bool stop = false;  // of drain
};

struct LeaveVerb {
    const char* name;
    const char* help;
    // In this process, or in the one that has it open.
    Result<Engine::Replaced> (*here)(Engine& engine, const std::string& drive, bool stop);
    Result<Engine::Replaced> (*there)(const Holder& holder, const std::string& drive, bool stop);
    // What is so now: "qlc drive 3 ...".
    const char* (*outcome)(bool open, bool stop);
};

const LeaveVerb kFail = {
    "fail", "take a drive out until it is replaced",
    [](Engine& engine, const std::string& drive, bool) { return engine.fail_device(drive); },
    [](const Holder& holder, const std::string& drive, bool) { return holder.fail_device(drive); },
    [](bool, bool) { return "is out, and stays out until it is replaced (`qlcshape replace`)"; }};

const LeaveVerb kDrain = {
    "drain", "move what a QLC drive has to the other drives",
    [](Engine& engine, const std::string& drive, bool stop) {
        return engine.drain_device(drive, stop);
    },
    [](const Holder& holder, const std::string& drive, bool stop) {
        return holder.drain_device(drive, stop);
    },
    [](bool open, bool stop) {
        return stop   ? "is not drained any more: what it still has stays there"
               : open ? "is being drained; `qlcshape status` says when it can be removed (jobs)"
                      : "is to be drained; open the array: that goes on while it is open";
    }};

const LeaveVerb kRemove = {
    "remove", "let a drained or lost QLC drive go",
    [](Engine& engine, const std::string& drive, bool) { return engine.remove_device(drive); },
    [](const Holder& holder, const std::string& drive, bool) {
        return holder.remove_device(drive);
    },
    [](bool, bool) {
        return "is no drive of the array any more; take it out of the array file; `qlcshape add` "
               "puts another one in its place";
    }};

struct Left {
    Engine::Replaced drive;
    bool open = false;  // the array, in another process
};

Result<Left> leave_here(const LeaveVerb& verb, const Options& options, const std::string& drive,
                        bool stop) {
    auto engine = Engine::open(options);
    if (!engine) return fail(engine.error());
    const auto left = verb.here(**engine, drive, stop);
    const Status closed = (*engine)->close();
    if (!left) return fail(left.error());
    QS_TRY(closed);
    return Left{.drive = *left};
}

Result<Left> leave(const LeaveVerb& verb, const LeaveArguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print_log;
    ProgressLine progress;
    options->progress = progress.callback();
    if (arguments.drive.empty())
        return fail(Errc::invalid_argument, "DRIVE: an empty word names no drive");
    const std::string drive = named_drive(*options, arguments.array_file, arguments.drive);
    const auto holder = Holder::of(*options);
    if (!holder) return leave_here(verb, *options, drive, arguments.stop);
    const auto there = named_there(*holder, drive);
    if (!there) return fail(there.error());
    const auto left = verb.there(*holder, *there, arguments.stop);
    if (!left) return fail(left.error());
    return Left{*left, true};
}

int run(const LeaveVerb& verb, const LeaveArguments& arguments) {
    const Result<Left> left = leave(verb, arguments);
    if (!left) return report_error(verb.name, arguments.json, left.error());
    const char* const role = left->drive.role == Role::qlc ? "qlc" : "scm";
    if (arguments.json) {
        Json object = new_object(verb.name);
        object["role"] = role;
        object["index"] = left->drive.index;
        print(object);
        return kDone;
    }
    say("{}: {} drive {} {}.\n", arguments.drive, role, left->drive.index,
        verb.outcome(left->open, arguments.stop));
    return kDone;
}

void add(CLI::App& app, int& exit_code, const LeaveVerb& verb) {
    auto arguments = std::make_shared<LeaveArguments>();
    CLI::App* sub = app.add_subcommand(verb.name, verb.help);
    arguments->add_to(*sub);
    sub->add_option("DRIVE", arguments->drive, "its path in the array file, or its device UUID")
        ->required();
    if (&verb == &kDrain)
        sub->add_flag("--stop", arguments->stop, "drain it no more: what it still has stays there");
    sub->callback([&verb, arguments, &exit_code] { exit_code = run(verb, *arguments); });
}

}  // namespace

void add_leave(CLI::App& app, int& exit_code) {
    add(app, exit_code, kFail);
    add(app, exit_code, kDrain);
    add(app, exit_code, kRemove);
}

}  // namespace qlcshape::tools
