// SPDX-License-Identifier: Apache-2.0
// Text that may or may not be UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qlcshape {

// Of the character that begins at `at`: its bytes, or 0 if it is not UTF-8, and its number.
std::size_t decode_utf8(std::string_view text, std::size_t at, std::uint32_t& number);

bool is_utf8(std::string_view text);

}  // namespace qlcshape
