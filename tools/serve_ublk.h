// SPDX-License-Identifier: Apache-2.0
// serve --ublk: volumes of an array as block devices, by an engine in this process, until a signal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qlcshape::tools {

struct UblkArguments {
    std::string array_file;
    std::vector<std::string> volumes;     // empty: all that there are
    std::optional<std::uint32_t> number;  // of the device; with one volume
    std::uint32_t block_bytes = 4096;
    bool read_only = false;
    bool takeover = false;
    bool json = false;
};

// Returns the exit code.
int serve_ublk(const UblkArguments& arguments);

}  // namespace qlcshape::tools
