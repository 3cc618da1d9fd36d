// SPDX-License-Identifier: Apache-2.0
// What every public header requires of the compiler.
#pragma once

#include <version>

#ifndef __cpp_lib_expected
#error "qlcshape's headers use std::expected of C++23: compile with -std=c++23 (GCC 12 or later)"
#endif

// What the libraries export; everything else in them is hidden.
#define QLCSHAPE_API __attribute__((visibility("default")))
#define QLCSHAPE_HIDDEN __attribute__((visibility("hidden")))
