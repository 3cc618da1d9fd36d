// SPDX-License-Identifier: Apache-2.0
#include "base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace qlcshape {

namespace {

bool is_control(std::uint32_t number) {
    return number < ' ' || (number >= 0x7F && number < 0xA0) || number == 0x200E ||
           number == 0x200F || (number >= 0x2028 && number <= 0x202E) ||
           (number >= 0x2066 && number <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text, LineBreaks breaks) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        std::uint32_t number = 0;
        const std::size_t bytes = decode_utf8(text, at, number);
        const bool kept =
            bytes != 0 && (!is_control(number) || (number == '\n' && breaks == LineBreaks::kept));
        const std::string_view character = text.substr(at, std::max<std::size_t>(bytes, 1));
        if (kept) {
            out += character;
        } else {
            for (const char c : character)
                out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
        at += character.size();
    }
    return out;
}

}  // namespace qlcshape
