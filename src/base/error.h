// SPDX-License-Identifier: Apache-2.0
// Builds an Error from a format string. Its message can go to a terminal or a log as it is.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <utility>

#include "base/printable.h"
#include "qlcshape/error.h"

namespace qlcshape {

template <class... Args>
std::unexpected<Error> fail(Errc code, fmt::format_string<Args...> text, Args&&... args) {
    return std::unexpected(Error{code, printable(fmt::format(text, std::forward<Args>(args)...))});
}

inline std::unexpected<Error> fail(const Error& error) { return std::unexpected(error); }

// A message about a device, with the device's path before it, once: those of failed transfers have
// it already.
inline std::string with_path(const std::string& path, const std::string& message) {
    const std::string name = printable(path) + ": ";
    return message.starts_with(name) ? message : name + message;
}

}  // namespace qlcshape

// Returns from the enclosing function with the error of `expression`, a Result of any type.
#define QS_TRY(expression)                                                 \
    do {                                                                   \
        auto&& qs_try_result = (expression);                               \
        if (!qs_try_result) return std::unexpected(qs_try_result.error()); \
    } while (false)
