// SPDX-License-Identifier: Apache-2.0
// The command's verbs. Each adds its subcommand, and when that was chosen, sets the exit code.
#pragma once

#include <CLI/CLI.hpp>

namespace qlcshape::tools {

// A device that an array could not be found on by the next command.
Status refuse_memory(const std::string& path);

void add_create(CLI::App& app, int& exit_code);
void add_leave(CLI::App& app, int& exit_code);    // fail, drain, remove
void add_replace(CLI::App& app, int& exit_code);  // and add
void add_volume(CLI::App& app, int& exit_code);
void add_status(CLI::App& app, int& exit_code);
void add_top(CLI::App& app, int& exit_code);
void add_devices(CLI::App& app, int& exit_code);
void add_check(CLI::App& app, int& exit_code);
void add_scrub(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_demo(CLI::App& app, int& exit_code);
void add_serve(CLI::App& app, int& exit_code);
void add_ublk(CLI::App& app, int& exit_code);
void add_sim(CLI::App& app, int& exit_code);

// The options that most verbs have.
struct CommonArguments {
    std::string array_file;
    bool json = false;

    void add_to(CLI::App& verb) {
        verb.add_option("ARRAY.toml", array_file, "the array file")->required();
        verb.add_flag("--json", json, "print one JSON object on stdout");
    }
};

}  // namespace qlcshape::tools
