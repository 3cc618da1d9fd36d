// SPDX-License-Identifier: Apache-2.0
// Text for people, with control characters quoted: all that the command prints goes through here,
// apart from JSON. What can't be written (a full disk, a closed stderr) is lost, and changes
// nothing else: fmt::print() would throw. At the end main() looks whether stdout took all.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

#include "base/printable.h"

namespace qlcshape::tools {

template <class... Arguments>
void write_to(std::FILE* file, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    const std::string text =
        printable(fmt::format(format, std::forward<Arguments>(arguments)...), LineBreaks::kept);
    std::fwrite(text.data(), 1, text.size(), file);
}

// On stdout.
template <class... Arguments>
void say(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    write_to(stdout, format, std::forward<Arguments>(arguments)...);
}

// On stderr.
template <class... Arguments>
void tell(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    write_to(stderr, format, std::forward<Arguments>(arguments)...);
}

}  // namespace qlcshape::tools
