// SPDX-License-Identifier: Apache-2.0
// Little-endian fields at byte offsets. The engine runs on little-endian machines only, so on-disk
// structs are read in place.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qlcshape {

static_assert(std::endian::native == std::endian::little);

template <class T>
T load(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

template <class T>
void store(std::byte* to, T value) {
    std::memcpy(to, &value, sizeof(T));
}

}  // namespace qlcshape
