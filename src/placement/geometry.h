// SPDX-License-Identifier: Apache-2.0
// How the roles of a stripe rotate over the columns of a band, so that every column holds the same
// share of data and parity. Role r: 0..k-1 is data, k is P, k+1 is Q.
//
//            column  0   1   2   3   4   5      k = 4, rotation 6: all six drives were there
//   stripe 0         D0  D1  D2  D3  P   Q
//   stripe 1         Q   D0  D1  D2  D3  P
//   stripe 2         P   Q   D0  D1  D2  D3
//
//            column  0   1   2   3   4   5      rotation 5: one was missing when it was opened
//   stripe 0         D0  D1  D2  D3  P   (Q)
//   stripe 1         P   D0  D1  D2  D3  (Q)    Q is computed and not written: what a later rebuild
//   stripe 2         D3  P   D0  D1  D2  (Q)    of column 5 writes moves nothing
//
// So all data strips are written whatever is missing, and no read needs a reconstruction for it.
#pragma once

#include <cstdint>

namespace qlcshape {

// The column that holds `role` in stripe number `stripe` (band * segments + segment). `rotation`:
// columns of the band when it was opened, k to k + 2.
inline std::uint32_t column_of(std::uint64_t stripe, std::uint32_t role, std::uint32_t rotation) {
    return role < rotation ? static_cast<std::uint32_t>((stripe + role) % rotation) : role;
}

}  // namespace qlcshape
