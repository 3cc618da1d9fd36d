// SPDX-License-Identifier: Apache-2.0
// replace: an empty drive takes the place of a lost one. add: of one that was removed.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

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
    std::optional<std::string> old;  // of replace
    std::string fresh, size;
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

// The UUID of one that was removed.
Result<std::string> vacant_place(const Options& options, const std::optional<Holder>& holder) {
    const Result<Stats> stats = holder ? holder->stats() : Engine::inspect(options);
    if (!stats) return fail(stats.error());
    const auto place =
        std::ranges::find(stats->devices, std::string("removed"), &DeviceStatus::state);
    if (place != stats->devices.end()) return place->uuid;
    return fail(Errc::no_space,
                "array {}: no place is vacant: it has as many qlc drives as it was created with; "
                "`qlcshape replace` puts another drive in the place of one",
                stats->array_name);
}

// Without an old one: in the place of one that was removed.
Result<ReplaceOutcome> replace(const ReplaceArguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print_log;
    ProgressLine progress;
    options->progress = progress.callback();
    const bool adds = !arguments.old;
    if ((!adds && arguments.old->empty()) || arguments.fresh.empty())
        return fail(Errc::invalid_argument, "{}: an empty word names no drive",
                    adds ? "NEW" : "OLD and NEW");
    QS_TRY(refuse_memory(arguments.fresh));
    DeviceOptions fresh;
    fresh.path = arguments.fresh;
    if (!arguments.size.empty()) {
        const Result<std::uint64_t> bytes = parse_amount(arguments.size);
        if (!bytes) return fail(bytes.error().code, "--size: {}", bytes.error().message);
        fresh.size_bytes = *bytes;
    }
    const auto asked = Holder::of(*options);
    const std::optional<Holder> holder = asked ? std::optional(*asked) : std::nullopt;
    const Result<std::string> old =
        adds ? vacant_place(*options, holder)
             : Result<std::string>(named_drive(*options, arguments.array_file, *arguments.old));
    if (!old) return fail(old.error());
    if (holder) return replace_there(*holder, *old, std::move(fresh), arguments.force);
    auto replaced = Engine::replace_device(*options, *old, fresh, arguments.force);
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
    const bool adds = !arguments.old;
    const char* const verb = adds ? "add" : "replace";
    if (!outcome) return report_error(verb, arguments.json, outcome.error());
    const Engine::Replaced& drive = outcome->drive;
    const bool qlc = drive.role == Role::qlc;
    if (arguments.json) {
        Json object = new_object(verb);
        object["role"] = qlc ? "qlc" : "scm";
        object["index"] = drive.index;
        object["path"] = arguments.fresh;
        print(object);
        return kDone;
    }
    say("{} is {} drive {} now, {}.\n", arguments.fresh, qlc ? "qlc" : "scm", drive.index,
        qlc ? "and empty" : "with all that the others have");
    if (adds)
        say("In {} name it as another [[device]], and no drive that was removed.\n",
            arguments.array_file);
    else if (arguments.fresh != *arguments.old)
        say("In {} write its path in place of {}.\n", arguments.array_file, *arguments.old);
    if (adds)
        say("It gets its share of what the others have while the array is open.\n");
    else
        say("{}", what_next(*outcome));
    return kDone;
}

}  // namespace

void add_replace(CLI::App& app, int& exit_code) {
    const auto add_verb = [&](const char* name, const char* help, bool replaces) {
        auto arguments = std::make_shared<ReplaceArguments>();
        CLI::App* verb = app.add_subcommand(name, help);
        arguments->add_to(*verb);
        if (replaces)
            verb->add_option("OLD", arguments->old,
                             "its path in the array file, or its device UUID")
                ->required();
        verb->add_option("NEW", arguments->fresh, "a block device, or a file")->required();
        verb->add_option("--size", arguments->size, "of a file that is not there yet: it is made");
        verb->add_flag("--force", arguments->force, "use it though it holds data, which is lost");
        verb->callback([arguments, &exit_code] { exit_code = run_replace(*arguments); });
    };
    add_verb("replace", "put an empty drive in the place of one that is lost", true);
    add_verb("add", "put an empty QLC drive in the place of one that was removed", false);
}

}  // namespace qlcshape::tools
