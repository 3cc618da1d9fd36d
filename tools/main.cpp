// SPDX-License-Identifier: Apache-2.0
// qlcshape VERB ARRAY.toml [options]. Exit 0: done; 1: it ran and found a problem; 2: it could not
// run, or not to its end.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "qlcshape/version.h"
#include "tools/report.h"
#include "tools/suggest.h"
#include "tools/tell.h"
#include "tools/verbs.h"

namespace {

using namespace qlcshape::tools;

// "volume ARRAY.toml create" is taken as "volume create ARRAY.toml": both follow from VERB
// ARRAY.toml.
std::vector<std::string> words_of(int argc, char** argv, const CLI::App& app) {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 3 || words[0] != "volume") return words;
    const CLI::App* volume = verb_named(app, "volume");
    if (verb_named(*volume, words[1]) == nullptr && verb_named(*volume, words[2]) != nullptr)
        std::swap(words[1], words[2]);
    return words;
}

// Whether all that went to stdout is there: what a full disk or a closed stdout swallowed must not
// look like success.
bool printed() {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
    tell("qlcshape: the output can't be written: {}\n", std::strerror(errno));
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    // A limit on the size of files is then an error of the write, which names it.
    std::signal(SIGXFSZ, SIG_IGN);
    CLI::App app("Write shaping for arrays of QLC flash", "qlcshape");
    app.set_version_flag("--version", "qlcshape " QLCSHAPE_VERSION_STRING);
    app.require_subcommand(1);
    app.footer("Each verb has --help. Exit 0: done; 1: a problem was found; 2: it could not run.");
    int exit_code = kDone;
    add_demo(app, exit_code);
    add_create(app, exit_code);
    add_volume(app, exit_code);
    add_status(app, exit_code);
    add_top(app, exit_code);
    add_devices(app, exit_code);
    add_check(app, exit_code);
    add_scrub(app, exit_code);
    add_leave(app, exit_code);
    add_replace(app, exit_code);
    add_bench(app, exit_code);
    add_serve(app, exit_code);
    add_ublk(app, exit_code);
    add_sim(app, exit_code);
    std::vector<std::string> words = words_of(argc, argv, app);
    if (const std::string wrong = unknown_verb(app, words); !wrong.empty()) {
        tell("qlcshape: {}\n", wrong);
        return kCouldNotRun;
    }
    std::ranges::reverse(words);  // as CLI11 wants them
    try {
        app.parse(std::move(words));
    } catch (const CLI::ParseError& error) {
        std::ostringstream out, wrong;
        const int code = app.exit(error, out, wrong);
        say("{}", out.str());
        tell("{}", wrong.str());
        return code == 0 ? kDone : kCouldNotRun;
    } catch (const std::bad_alloc&) {
        tell("qlcshape: out of memory; raise the limit (ulimit -v)\n");
        return kCouldNotRun;
    } catch (const std::exception& error) {
        tell("qlcshape: {}\n", error.what());
        return kCouldNotRun;
    }
    return printed() || exit_code != kDone ? exit_code : kCouldNotRun;
}
