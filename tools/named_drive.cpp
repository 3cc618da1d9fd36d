// SPDX-License-Identifier: Apache-2.0
#include "tools/named_drive.h"

#include <algorithm>
#include <filesystem>

namespace qlcshape::tools {

std::string named_drive(const Options& options, const std::string& array_file,
                        const std::string& word) {
    const auto folder = std::filesystem::path(array_file).parent_path();
    const std::string named = (folder / word).lexically_normal().string();
    const std::vector<DeviceOptions> all = options.all_named();
    const bool in_file = std::ranges::find(all, named, &DeviceOptions::path) != all.end();
    return in_file ? named : word;
}

Result<std::string> named_there(const Holder& holder, const std::string& drive) {
    const Result<Stats> stats = holder.stats();
    if (!stats) return fail(stats.error());
    const bool uuid =
        std::ranges::find(stats->devices, drive, &DeviceStatus::uuid) != stats->devices.end();
    return uuid ? drive : std::filesystem::absolute(drive).string();
}

}  // namespace qlcshape::tools
