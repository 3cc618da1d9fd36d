// SPDX-License-Identifier: Apache-2.0
// Where each strip of a stripe is. Parity rotates from stripe to stripe so that every drive holds
// the same share of data and parity. Role r of a stripe: 0..k-1 data, k is P, k+1 is Q.
#pragma once

#include <cstdint>

namespace qlcshape {

struct StripeGeometry {
    std::uint32_t data_strips = 0;  // k

    std::uint32_t width() const { return data_strips + 2; }
    // The drive (0..k+1) that holds `role` in stripe number `stripe` (band * segments + segment).
    std::uint32_t drive_of(std::uint64_t stripe, std::uint32_t role) const {
        return static_cast<std::uint32_t>((stripe + role) % width());
    }
    std::uint32_t role_of(std::uint64_t stripe, std::uint32_t drive) const {
        return static_cast<std::uint32_t>((drive + width() - stripe % width()) % width());
    }
};

}  // namespace qlcshape
