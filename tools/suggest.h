// SPDX-License-Identifier: Apache-2.0
// Verbs by their names, and what an unknown verb was probably meant to be.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace qlcshape::tools {

// The verb of that name below `place`, or null.
const CLI::App* verb_named(const CLI::App& place, const std::string& name);

// The command's words as typed, without its own name. Empty if they begin with a verb, or with an
// option or nothing, which CLI11 handles.
std::string unknown_verb(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace qlcshape::tools
