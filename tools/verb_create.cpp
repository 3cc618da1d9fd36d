// SPDX-License-Identifier: Apache-2.0
// create: creates the array that the file describes.
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "device/memory_device.h"
#include "engine/health.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

Status refuse_memory(const std::string& path) {
    if (!path.starts_with(kMemoryPrefix)) return {};
    return fail(Errc::invalid_argument,
                "{}: memory devices end with the process that created them, so the array would "
                "be gone; name files or block devices, or use bench --memory",
                path);
}

namespace {

struct CreateArguments : CommonArguments {
    bool force = false;
};

Result<Stats> create(const CreateArguments& arguments) {
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    for (const DeviceOptions& device : options->all_named()) QS_TRY(refuse_memory(device.path));
    ProgressLine progress;
    options->progress = progress.callback();
    options->log = print_log;
    if (Status made = Engine::create(*options, arguments.force); !made) {
        return std::unexpected(made.error());
    }
    return Engine::inspect(*options);
}

int run_create(const CreateArguments& arguments) {
    const Result<Stats> stats = create(arguments);
    if (!stats) return report_error("create", arguments.json, stats.error());
    if (arguments.json) {
        Json object = new_object("create");
        add_stats(object, *stats);
        print(object);
        return kDone;
    }
    say("array \"{}\" {}\n{} devices, {} for volumes of {} raw\n", stats->array_name,
        stats->array_uuid, stats->devices.size(),
        size_text(static_cast<double>(stats->space.writable_bytes)),
        size_text(static_cast<double>(stats->space.raw_bytes)));
    say("{}", unused_text(*stats));
    if (const std::string wrong = headline(*stats); !wrong.empty()) say("{}\n", wrong);
    return kDone;
}

}  // namespace

void add_create(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<CreateArguments>();
    CLI::App* verb =
        app.add_subcommand("create", "create an array: write superblocks and empty tables");
    arguments->add_to(*verb);
    verb->add_flag("--force", arguments->force,
                   "use devices that hold data; what they hold is lost");
    verb->callback([arguments, &exit_code] { exit_code = run_create(*arguments); });
}

}  // namespace qlcshape::tools
