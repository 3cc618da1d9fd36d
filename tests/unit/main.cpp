// SPDX-License-Identifier: Apache-2.0
#define CATCH_CONFIG_MAIN
#include <malloc.h>

#include <catch2/catch.hpp>

namespace {

// Tests open thousands of engines. What one gave back serves the next: from the system it would
// come zeroed, page by page, which took most of their time.
const bool kept = mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1;

}  // namespace
