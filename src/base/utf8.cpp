// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

namespace qlcshape {

namespace {

unsigned char byte_at(std::string_view text, std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

}  // namespace

std::size_t decode_utf8(std::string_view text, std::size_t at, std::uint32_t& number) {
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

bool is_utf8(std::string_view text) {
    std::uint32_t number = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = decode_utf8(text, at, number);
        if (bytes == 0) return false;
        at += bytes;
    }
    return true;
}

}  // namespace qlcshape
