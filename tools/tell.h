// SPDX-License-Identifier: Apache-2.0
// Messages on stderr. One that can't be written (a full disk, a closed stderr) is lost, and changes
// nothing else: fmt::print() would throw.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace qlcshape::tools {

template <class... Arguments>
void tell(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
    std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace qlcshape::tools
