// SPDX-License-Identifier: Apache-2.0
// What all fuzzers share: the bytes they are given, taken off the front, and the array to which the
// structures that they decode belong.
//
// Checksums stop a fuzzer at the door. So the first byte of an input tells whether the harness puts
// the right checksum in; what is behind it must then be checked for itself, since a strange or
// faulty program can have written it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/assert.h"
#include "base/uuid.h"
#include "format/layout.h"

namespace qlcshape::fuzz {

class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size)
        : left_(reinterpret_cast<const std::byte*>(data), size) {}

    std::span<const std::byte> left() const { return left_; }

    // What there is of `to`; the rest of it stays.
    void take(std::span<std::byte> to) {
        const std::size_t n = std::min(to.size(), left_.size());
        if (n != 0) std::memcpy(to.data(), left_.data(), n);
        left_ = left_.subspan(n);
    }
    template <class T>
    T take() {
        T value{};
        take(std::as_writable_bytes(std::span(&value, 1)));
        return value;
    }

  private:
    std::span<const std::byte> left_;
};

// Bits of the first byte.
inline constexpr std::uint8_t kSeal = 1;   // make the checksum right
inline constexpr std::uint8_t kLarge = 2;  // of the large array, whose headers take two blocks

inline Uuid array_uuid() {
    Uuid uuid;
    uuid.bytes[0] = 0x51;
    return uuid;
}

inline ArrayParameters small_array() {
    ArrayParameters p;
    p.data_strips = 2;
    p.qlc_count = 4;
    p.strip_bytes = 64 * KiB;
    p.band_bytes = MiB;
    p.qlc_bytes = 100 * MiB;
    p.scm_bytes = 64 * MiB;
    return p;
}

inline ArrayParameters large_array() {
    ArrayParameters p;
    p.strip_bytes = 256 * KiB;
    p.band_bytes = 4 * MiB;
    p.qlc_bytes = 400 * MiB;
    p.scm_bytes = 256 * MiB;
    return p;
}

inline const ArrayLayout& layout_for(std::uint8_t mode) {
    static const ArrayLayout small = *make_layout(small_array());
    static const ArrayLayout large = *make_layout(large_array());
    return (mode & kLarge) != 0 ? large : small;
}

}  // namespace qlcshape::fuzz
