// SPDX-License-Identifier: Apache-2.0
// volume create, list, resize, delete.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include "admin/holder.h"
#include "base/error.h"
#include "engine/file_room.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

struct VolumeArguments : CommonArguments {
    std::string name;
    std::string size;
    bool yes = false;
};

Result<std::vector<VolumeInfo>> list_volumes(const VolumeArguments& arguments) {
    const Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    const Result<Stats> stats = Engine::inspect(*options);
    if (!stats) return std::unexpected(stats.error());
    return stats->volumes;
}

// If a process has the array open, that one makes the change; otherwise it is opened for it, and
// closed cleanly.
template <class Change>
Result<std::vector<VolumeInfo>> change_volumes(const VolumeArguments& arguments, Change change) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print_log;
    const auto holder = Holder::of(*options);
    if (holder) {
        log_shortages(*options);
        const Status changed = change(*holder);
        if (!changed) return std::unexpected(changed.error());
        return list_volumes(arguments);
    }
    ProgressLine progress;
    options->progress = progress.callback();
    auto engine = Engine::open(*options);
    if (!engine) return std::unexpected(engine.error());
    const Status changed = change(**engine);
    std::vector<VolumeInfo> volumes = (*engine)->volumes();
    const Status closed = (*engine)->close();
    if (!changed) return std::unexpected(changed.error());
    if (!closed) return std::unexpected(closed.error());
    return volumes;
}

int report(const std::string& verb, const VolumeArguments& arguments,
           const Result<std::vector<VolumeInfo>>& volumes, const std::string& text) {
    if (!volumes) return report_error(verb, arguments.json, volumes.error());
    if (!arguments.json) {
        say("{}", text);
        return kDone;
    }
    Json object = new_object(verb);
    object["volumes"] = Json::array();
    for (const VolumeInfo& volume : *volumes) {
        object["volumes"].push_back(
            {{"name", volume.name}, {"uuid", volume.uuid}, {"bytes", volume.bytes}});
    }
    print(object);
    return kDone;
}

int run_create(const VolumeArguments& arguments) {
    const Result<std::uint64_t> bytes = parse_amount(arguments.size);
    if (!bytes) {
        return report_error("volume create", arguments.json,
                            {bytes.error().code, "--size: " + bytes.error().message});
    }
    const auto volumes = change_volumes(
        arguments, [&](auto& array) { return array.create_volume(arguments.name, *bytes); });
    return report("volume create", arguments, volumes,
                  fmt::format("volume \"{}\" of {}\n", arguments.name, size_text(*bytes)));
}

bool confirmed(const std::string& question) {
    tell("{} [y/N] ", question);
    std::fflush(stderr);
    std::string answer;
    return std::getline(std::cin, answer) && (answer == "y" || answer == "yes");
}

// Lost data can't be recovered, and the name or size may be a typing error: so data is deleted only
// after confirmation. `from`: everything after it is deleted. The array is not kept open while a
// person decides.
Status may_lose(const VolumeArguments& arguments, std::uint64_t from) {
    if (arguments.yes) return {};
    bool holds = false;
    const auto volumes = change_volumes(arguments, [&](auto& array) -> Status {
        const Result<bool> found = array.holds_data(arguments.name, from);
        if (!found) return std::unexpected(found.error());
        holds = *found;
        return {};
    });
    if (!volumes) return std::unexpected(volumes.error());
    if (!holds) return {};
    const std::string what =
        from == 0 ? fmt::format("volume {} holds data", arguments.name)
                  : fmt::format("volume {} holds data beyond {}", arguments.name, size_text(from));
    if (::isatty(STDIN_FILENO) == 0) {
        return fail(Errc::invalid_argument, "{}, which would be lost; confirm with --yes", what);
    }
    if (confirmed(what + ", which will be lost. Go on?")) return {};
    return fail(Errc::invalid_argument, "volume {} is left as it was", arguments.name);
}

Status may_resize(const VolumeArguments& arguments, std::uint64_t bytes) {
    const auto volumes = list_volumes(arguments);
    if (!volumes) return std::unexpected(volumes.error());
    const auto volume = std::ranges::find(*volumes, arguments.name, &VolumeInfo::name);
    const bool smaller = volume != volumes->end() && bytes != 0 && bytes % kVolumeBlockBytes == 0 &&
                         bytes < volume->bytes;
    return smaller ? may_lose(arguments, bytes) : Status{};
}

int run_resize(const VolumeArguments& arguments) {
    const Result<std::uint64_t> bytes = parse_amount(arguments.size);
    if (!bytes) {
        return report_error("volume resize", arguments.json,
                            {bytes.error().code, "--size: " + bytes.error().message});
    }
    if (const Status may = may_resize(arguments, *bytes); !may)
        return report_error("volume resize", arguments.json, may.error());
    const auto volumes = change_volumes(
        arguments, [&](auto& array) { return array.resize_volume(arguments.name, *bytes); });
    return report("volume resize", arguments, volumes,
                  fmt::format("volume \"{}\" has {} now\n", arguments.name, size_text(*bytes)));
}

// If the array stays open its space is freed in the background.
Status remove(const Holder& holder, const std::string& name) { return holder.delete_volume(name); }
Status remove(Engine& engine, const std::string& name) {
    const Status deleted = engine.delete_volume(name);
    return deleted ? engine.finish_deletions() : deleted;
}

int run_delete(const VolumeArguments& arguments) {
    if (const Status may = may_lose(arguments, 0); !may)
        return report_error("volume delete", arguments.json, may.error());
    const auto volumes =
        change_volumes(arguments, [&](auto& array) { return remove(array, arguments.name); });
    return report("volume delete", arguments, volumes,
                  fmt::format("volume \"{}\" is deleted\n", arguments.name));
}

int run_list(const VolumeArguments& arguments) {
    const auto volumes = list_volumes(arguments);
    std::string text = "no volumes\n";
    if (volumes && !volumes->empty()) {
        Table table({"volume", "size", "uuid"});
        for (const VolumeInfo& volume : *volumes) {
            table.add({volume.name, size_text(volume.bytes), volume.uuid});
        }
        text = table.text();
    }
    return report("volume list", arguments, volumes, text);
}

}  // namespace

void add_volume(CLI::App& app, int& exit_code) {
    CLI::App* volume = app.add_subcommand("volume", "create, list, resize or delete volumes");
    volume->require_subcommand(1);
    const auto add = [&](const char* name, const char* help, int (*run)(const VolumeArguments&)) {
        auto arguments = std::make_shared<VolumeArguments>();
        CLI::App* verb = volume->add_subcommand(name, help);
        arguments->add_to(*verb);
        verb->callback([arguments, run, &exit_code] { exit_code = run(*arguments); });
        return std::pair(verb, arguments.get());
    };
    const auto [create, create_arguments] = add("create", "create a thin volume", run_create);
    create->add_option("NAME", create_arguments->name, "its name")->required();
    create->add_option("--size", create_arguments->size, "its size, as 10GiB; a multiple of 4096")
        ->required();
    add("list", "show name, size and UUID of each volume", run_list);
    const auto [resize, resize_arguments] =
        add("resize", "change a volume's size; a smaller one loses its end", run_resize);
    resize->add_option("NAME", resize_arguments->name, "its name")->required();
    resize->add_option("--size", resize_arguments->size, "its new size, a multiple of 4096")
        ->required();
    resize->add_flag("--yes", resize_arguments->yes, "cut off data without asking");
    const auto [remove, remove_arguments] =
        add("delete", "delete a volume and its data", run_delete);
    remove->add_option("NAME", remove_arguments->name, "its name")->required();
    remove->add_flag("--yes", remove_arguments->yes,
                     "delete it without asking, even if it holds data");
}

}  // namespace qlcshape::tools
