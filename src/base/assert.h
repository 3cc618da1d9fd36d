// SPDX-License-Identifier: Apache-2.0
// Assertions that stay on in every build, for programming errors. What may happen at run time (a
// device, a user, a byte on media) is returned as an Error instead.
#pragma once

namespace qlcshape {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace qlcshape

#define QS_ASSERT(expression)            \
    (__builtin_expect(!!(expression), 1) \
         ? static_cast<void>(0)          \
         : ::qlcshape::assertion_failed(#expression, __FILE__, __LINE__))
