// SPDX-License-Identifier: Apache-2.0
// serve --takeover: ends the server that has the array open, for a new one to go on with its
// devices.
#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "qlcshape/options.h"
#include "tools/ublk/control.h"

namespace qlcshape::ublk {

// To this a server ends as to SIGTERM, but leaves every device, also those that nobody has claimed.
constexpr int kHandOverSignal = SIGUSR2;

// When it returns nobody serves these volumes (none: all of the array's). Nothing is done where
// nobody did. Errors, after which the old server still runs: busy (another kind of program has the
// array open; or the server serves volumes besides these), io_error.
Status take_over(const Control& control, const Options& options,
                 const std::vector<std::string>& volumes);

}  // namespace qlcshape::ublk
