// SPDX-License-Identifier: Apache-2.0
// Identity of an array, a device, a volume: 16 random bytes, printed as RFC 4122 does.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "base/random.h"

namespace qlcshape {

struct Uuid {
    std::array<std::uint8_t, 16> bytes{};
    auto operator<=>(const Uuid&) const = default;
    bool is_nil() const { return *this == Uuid{}; }
    static Uuid random(Random& random);  // version 4
    std::string to_string() const;
};

static_assert(sizeof(Uuid) == 16);

}  // namespace qlcshape
