// SPDX-License-Identifier: Apache-2.0
// Builds an Error from a format string.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <utility>

#include "qlcshape/error.h"

namespace qlcshape {

template <class... Args>
std::unexpected<Error> fail(Errc code, fmt::format_string<Args...> text, Args&&... args) {
    return std::unexpected(Error{code, fmt::format(text, std::forward<Args>(args)...)});
}

inline std::unexpected<Error> fail(const Error& error) { return std::unexpected(error); }

}  // namespace qlcshape

// Returns from the enclosing function with the error of `expression`, a Result of any type.
#define QS_TRY(expression)                                                 \
    do {                                                                   \
        auto&& qs_try_result = (expression);                               \
        if (!qs_try_result) return std::unexpected(qs_try_result.error()); \
    } while (false)
