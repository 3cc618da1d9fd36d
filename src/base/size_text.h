// SPDX-License-Identifier: Apache-2.0
// Sizes in messages, as people write them.
#pragma once

#include <cstdint>
#include <string>

namespace qlcshape {

// "10 GiB", "58.5 MiB", "1.00 MiB": three digits, rounded to the nearest, and no decimals for whole
// numbers.
std::string size_text(double bytes);
inline std::string size_text(std::uint64_t bytes) { return size_text(static_cast<double>(bytes)); }

// For the least that a caller must give: whole units, rounded up by less than a tenth, in the form
// that parse_size() accepts.
std::string at_least_text(std::uint64_t bytes);

}  // namespace qlcshape
