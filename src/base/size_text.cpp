// SPDX-License-Identifier: Apache-2.0
#include "base/size_text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace qlcshape {

namespace {

constexpr std::array<const char*, 7> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
constexpr std::size_t kTiB = 4;  // the largest that parse_size() takes

}  // namespace

std::string size_text(double bytes) {
    std::size_t unit = 0;
    while (unit + 1 < kUnits.size() && bytes >= 1024 * 0.9995) {
        bytes /= 1024;
        ++unit;
    }
    const bool whole = unit == 0 || bytes == std::floor(bytes);
    return fmt::format("{:.{}f} {}", bytes,
                       whole           ? 0
                       : bytes < 9.995 ? 2
                       : bytes < 99.95 ? 1
                                       : 0,
                       kUnits[unit]);
}

std::string at_least_text(std::uint64_t bytes) {
    std::size_t unit = 0;
    std::uint64_t one = 1;
    while (unit < kTiB &&
           (bytes / one >= 10 * 1024 || (bytes / one >= 1024 && bytes % (one * 1024) == 0))) {
        one *= 1024;
        ++unit;
    }
    return fmt::format("{} {}", bytes / one + (bytes % one != 0 ? 1 : 0), kUnits[unit]);
}

}  // namespace qlcshape
