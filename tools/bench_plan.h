// SPDX-License-Identifier: Apache-2.0
// bench: turns the command line into a load.
#pragma once

#include <string>

#include "tools/load.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

struct BenchArguments : CommonArguments {
    std::string rw = "randwrite";
    std::string bs = "4k";
    std::string size;
    std::string distribution = "uniform";
    std::string volume;
    std::string verify_state;
    std::uint32_t iodepth = 32;
    unsigned rwmixread = 50;
    double runtime = 0;
    double passes = 0;
    std::uint64_t seed = 1;
    bool verify = false;
    bool memory = false;
    bool prefill = false;
    bool inplace = false;
    bool read_only = false;
};

// Everything except the amount that depends on the volume's size. Errors name the option.
Result<LoadOptions> plan_load(const BenchArguments& arguments);

// --size, --passes, or one pass if neither they nor --runtime are given.
std::uint64_t bytes_to_transfer(const BenchArguments& arguments, std::uint64_t volume_bytes);

}  // namespace qlcshape::tools
