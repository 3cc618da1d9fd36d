// SPDX-License-Identifier: Apache-2.0
#include "base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace qlcshape {

namespace {

unsigned char byte_at(std::string_view text, std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

// Of the character that begins at `at`: its bytes, or 0 if it is not UTF-8, and its number.
std::size_t decode(std::string_view text, std::size_t at, std::uint32_t& number) {
    const unsigned char lead = byte_at(text, at);
    const std::size_t bytes = lead < 0x80             ? 1
                              : (lead & 0xE0) == 0xC0 ? 2
                              : (lead & 0xF0) == 0xE0 ? 3
                              : (lead & 0xF8) == 0xF0 ? 4
                                                      : 0;
    if (bytes < 2) {
        number = lead;
        return bytes;
    }
    number = lead & (0x7Fu >> bytes);
    for (std::size_t i = 1; i < bytes; ++i) {
        const unsigned char next = byte_at(text, at + i);
        if ((next & 0xC0) != 0x80) return 0;
        number = number << 6 | (next & 0x3Fu);
    }
    constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = number >= 0xD800 && number < 0xE000;
    return number < kLeast[bytes] || number > 0x10FFFF || surrogate ? 0 : bytes;
}

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
        const std::size_t bytes = decode(text, at, number);
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
