// SPDX-License-Identifier: Apache-2.0
// The version of these headers. The build, the packages and the command take theirs from here.
// Before 1.0 a new minor version may change the API and the ABI.
#pragma once

#define QLCSHAPE_VERSION_MAJOR 0
#define QLCSHAPE_VERSION_MINOR 1
#define QLCSHAPE_VERSION_PATCH 0
#define QLCSHAPE_VERSION_STRING "0.1.0"

// To compare: #if QLCSHAPE_VERSION >= 100 means 0.1.0 or later.
#define QLCSHAPE_VERSION \
    (QLCSHAPE_VERSION_MAJOR * 10000 + QLCSHAPE_VERSION_MINOR * 100 + QLCSHAPE_VERSION_PATCH)
