// qlcshape VERB ARRAY.toml [options]. Exit 0: done; 1: it ran and found a problem; 2: it could not
// run.
#include <string>
#include <utility>
#include <vector>

#include "tools/report.h"
#include "tools/verbs.h"

namespace {

// Last one first, as CLI11 wants them. "volume ARRAY.toml create" is taken as "volume create
// ARRAY.toml": both follow from VERB ARRAY.toml.
std::vector<std::string> arguments_of(int argc, char** argv) {
    std::vector<std::string> words(argv + 1, argv + argc);
    const auto is_volume_verb = [](const std::string& word) {
        return word == "create" || word == "list" || word == "delete";
    };
    if (words.size() > 2 && words[0] == "volume" && !is_volume_verb(words[1]) &&
        is_volume_verb(words[2])) {
        std::swap(words[1], words[2]);
    }
    return {words.rbegin(), words.rend()};
}

}  // namespace

int main(int argc, char** argv) {
    using namespace qlcshape::tools;
    CLI::App app("Write shaping for arrays of QLC flash", "qlcshape");
    app.require_subcommand(1);
    app.footer("Each verb has --help. Exit 0: done; 1: a problem was found; 2: it could not run.");
    int exit_code = kDone;
    add_demo(app, exit_code);
    add_create(app, exit_code);
    add_volume(app, exit_code);
    add_status(app, exit_code);
    add_top(app, exit_code);
    add_check(app, exit_code);
    add_bench(app, exit_code);
    add_serve(app, exit_code);
    add_sim(app, exit_code);
    try {
        app.parse(arguments_of(argc, argv));
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kDone : kCouldNotRun;
    }
    return exit_code;
}
