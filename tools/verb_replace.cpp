// SPDX-License-Identifier: Apache-2.0
// replace: an empty drive takes the place of a lost one.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

struct Arguments : CommonArguments {
    std::string old, fresh, size;
    bool force = false;
};

Result<std::uint32_t> replace(const Arguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print_log;
    QS_TRY(refuse_memory(arguments.fresh));
    DeviceOptions fresh;
    fresh.role = Role::qlc;
    fresh.path = arguments.fresh;
    if (!arguments.size.empty()) {
        const Result<std::uint64_t> bytes = parse_amount(arguments.size);
        if (!bytes) return fail(bytes.error().code, "--size: {}", bytes.error().message);
        fresh.size_bytes = *bytes;
    }
    // As it stands in the array file, whose paths are relative to its folder.
    const auto folder = std::filesystem::path(arguments.array_file).parent_path();
    const std::string named = (folder / arguments.old).lexically_normal().string();
    const bool in_file =
        std::ranges::find(options->devices, named, &DeviceOptions::path) != options->devices.end();
    return Engine::replace_device(*options, in_file ? named : arguments.old, fresh,
                                  arguments.force);
}

int run(const Arguments& arguments) {
    const Result<std::uint32_t> number = replace(arguments);
    if (!number) return report_error("replace", arguments.json, number.error());
    if (arguments.json) {
        Json object = new_object("replace");
        object["index"] = *number;
        object["path"] = arguments.fresh;
        print(object);
        return kDone;
    }
    say("{} is qlc drive {} now, and empty.\n"
        "In {} write its path in place of {}, then open the array: what lacks parity gets it back "
        "while the array is open (`qlcshape status`: protection).\n",
        arguments.fresh, *number, arguments.array_file, arguments.old);
    return kDone;
}

}  // namespace

void add_replace(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<Arguments>();
    CLI::App* verb =
        app.add_subcommand("replace", "put an empty QLC drive in the place of one that is lost");
    arguments->add_to(*verb);
    verb->add_option("OLD", arguments->old, "its path in the array file, or its device UUID")
        ->required();
    verb->add_option("NEW", arguments->fresh, "a block device, or a file")->required();
    verb->add_option("--size", arguments->size, "of a file that is not there yet: it is made");
    verb->add_flag("--force", arguments->force, "use it though it holds data, which is lost");
    verb->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace qlcshape::tools
