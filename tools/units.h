// SPDX-License-Identifier: Apache-2.0
// How the command writes and reads quantities: short, with a unit, for people.
#pragma once

#include <cstdint>
#include <string>

#include "base/size_text.h"
#include "qlcshape/error.h"

namespace qlcshape::tools {

using qlcshape::size_text;                     // "1.25 GiB"
std::string count_text(double count);          // "12.3 k"; below 10,000 in full
std::string rate_text(double per_second);      // "12.3 k/s"
std::string seconds_text(double seconds);      // "0.31 s", "2 min 10 s"
std::string long_text(double seconds);         // the same; "13.9 days", "2.5 years"
std::string micros_text(double microseconds);  // "85 us", "1.2 ms"
std::string percent_text(double share);        // 0.5 -> "50.0 %"

// a / b, and 0 where there is nothing to divide by.
inline double ratio(double a, double b) { return b == 0 ? 0 : a / b; }
inline double ratio(std::uint64_t a, std::uint64_t b) {
    return ratio(static_cast<double>(a), static_cast<double>(b));
}

// As parse_size() of the array file, and fio's short forms too: "4k", "1m", "2g", of 1024.
Result<std::uint64_t> parse_amount(const std::string& text);

}  // namespace qlcshape::tools
