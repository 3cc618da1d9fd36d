// SPDX-License-Identifier: Apache-2.0
// replace: an empty drive takes the place of a lost one.
#include <filesystem>
#include <memory>

#include "admin/holder.h"
#include "base/error.h"
#include "tools/named_drive.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

struct ReplaceArguments : CommonArguments {
    std::string old, fresh, size;
    bool force = false;
};

struct ReplaceOutcome {
    Engine::Replaced drive;
    bool open = false;  // the array, in another process
};

// In the process that has the array open, to which this one's folder means nothing.
Result<ReplaceOutcome> replace_there(const Holder& holder, const std::string& old,
                                     DeviceOptions fresh, bool force) {
    const auto there = named_there(holder, old);
    if (!there) return fail(there.error());
    fresh.path = std::filesystem::absolute(fresh.path).string();
    const auto drive = holder.replace(*there, fresh, force);
    if (!drive) return fail(drive.error());
    return ReplaceOutcome{*drive, true};
}

Result<ReplaceOutcome> replace(const ReplaceArguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print_log;
    ProgressLine progress;
    options->progress = progress.callback();
    if (arguments.old.empty() || arguments.fresh.empty())
        return fail(Errc::invalid_argument, "OLD and NEW: an empty word names no drive");
    QS_TRY(refuse_memory(arguments.fresh));
    DeviceOptions fresh;
    fresh.path = arguments.fresh;
    if (!arguments.size.empty()) {
        const Result<std::uint64_t> bytes = parse_amount(arguments.size);
        if (!bytes) return fail(bytes.error().code, "--size: {}", bytes.error().message);
        fresh.size_bytes = *bytes;
    }
    const std::string old = named_drive(*options, arguments.array_file, arguments.old);
    if (const auto holder = Holder::of(*options))
        return replace_there(*holder, old, std::move(fresh), arguments.force);
    auto replaced = Engine::replace_device(*options, old, fresh, arguments.force);
    if (!replaced) return fail(replaced.error());
    return ReplaceOutcome{.drive = *replaced};
}

const char* what_next(const ReplaceOutcome& outcome) {
    if (outcome.drive.role == Role::scm) return "";
    return outcome.open
               ? "What bands lack there is rebuilt from now on (`qlcshape status`: jobs).\n"
               : "Open the array: what bands lack there is rebuilt while it is open "
                 "(`qlcshape status`: jobs).\n";
}

int run_replace(const ReplaceArguments& arguments) {
    const Result<ReplaceOutcome> outcome = replace(arguments);
    if (!outcome) return report_error("replace", arguments.json, outcome.error());
    const Engine::Replaced& drive = outcome->drive;
    const bool qlc = drive.role == Role::qlc;
    if (arguments.json) {
        Json object = new_object("replace");
        object["role"] = qlc ? "qlc" : "scm";
        object["index"] = drive.index;
        object["path"] = arguments.fresh;
        print(object);
        return kDone;
    }
    say("{} is {} drive {} now, {}.\n", arguments.fresh, qlc ? "qlc" : "scm", drive.index,
        qlc ? "and empty" : "with all that the others have");
    if (arguments.fresh != arguments.old)
        say("In {} write its path in place of {}.\n", arguments.array_file, arguments.old);
    say("{}", what_next(*outcome));
    return kDone;
}

}  // namespace

void add_replace(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<ReplaceArguments>();
    CLI::App* verb =
        app.add_subcommand("replace", "put an empty drive in the place of one that is lost");
    arguments->add_to(*verb);
    verb->add_option("OLD", arguments->old, "its path in the array file, or its device UUID")
        ->required();
    verb->add_option("NEW", arguments->fresh, "a block device, or a file")->required();
    verb->add_option("--size", arguments->size, "of a file that is not there yet: it is made");
    verb->add_flag("--force", arguments->force, "use it though it holds data, which is lost");
    verb->callback([arguments, &exit_code] { exit_code = run_replace(*arguments); });
}

}  // namespace qlcshape::tools
