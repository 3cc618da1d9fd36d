// SPDX-License-Identifier: Apache-2.0
// How the roles of a stripe rotate over the columns of a band, so that every column holds the same
// share of data and parity. Role r: 0..k-1 is data, k is P, k+1 is Q.
//
//            column  0   1   2   3   4   5      k = 4
//   stripe 0         D0  D1  D2  D3  P   Q
//   stripe 1         Q   D0  D1  D2  D3  P
//   stripe 2         P   Q   D0  D1  D2  D3
#pragma once

#include <cstdint>

namespace qlcshape {

struct StripeGeometry {
    std::uint32_t data_strips = 0;  // k

    std::uint32_t width() const { return data_strips + 2; }
    // The column (0..k+1) that holds `role` in stripe number `stripe` (band * segments + segment).
    std::uint32_t column_of(std::uint64_t stripe, std::uint32_t role) const {
        return static_cast<std::uint32_t>((stripe + role) % width());
    }
};

}  // namespace qlcshape
