// SPDX-License-Identifier: Apache-2.0
// What nbdkit does not tell a plugin, from the words of its own command.
#pragma once

#include <string>

namespace qlcshape {

struct CommandWords {
    bool read_only = false;  // -r; an option's argument that looks like it counts as well
    std::string pid_file;    // -P, absolute; empty: none
    std::string socket;      // -U, absolute; empty: none, or nbdkit's own (-U -)
};

// Before main(), in the folder where nbdkit was started.
CommandWords command_words(int argc, const char* const* argv);

// What nbdkit leaves in the background where it ends at its start: its socket, and its pid file if
// that is of this process.
void remove_left_files(const CommandWords& words);

}  // namespace qlcshape
