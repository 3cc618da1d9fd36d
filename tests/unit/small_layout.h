// SPDX-License-Identifier: Apache-2.0
// Layouts of small arrays, for tests of parts that need no whole array.
#pragma once

#include <catch2/catch.hpp>

#include "format/layout.h"
#include "placement/array_context.h"

namespace qlcshape {

// Said by name: small_parameters({.k = 3, .scm_bytes = 256 * MiB}).
struct SmallArray {
    std::uint32_t k = 2;
    std::uint32_t scm_count = 2;
    std::uint64_t strip_bytes = 64 * KiB;
    std::uint32_t strips_per_band = 8;
    std::uint32_t bands = 40;
    std::uint64_t scm_bytes = 64 * MiB;
};

inline ArrayParameters small_parameters(const SmallArray& a) {
    ArrayParameters p;
    p.data_strips = a.k;
    p.qlc_count = a.k + 2;
    p.scm_count = a.scm_count;
    p.strip_bytes = a.strip_bytes;
    p.band_bytes = a.strips_per_band * a.strip_bytes;
    p.qlc_bytes = (a.bands + 2) * p.band_bytes;  // two units of superblocks
    p.scm_bytes = a.scm_bytes;
    return p;
}

inline ArrayLayout layout_of(const ArrayParameters& p) {
    auto l = make_layout(p);
    if (!l) FAIL(l.error().message);
    return *l;
}

inline ArrayLayout small_layout(const SmallArray& a = {}) { return layout_of(small_parameters(a)); }

// Where a strip lies in an array whose drives have all been there all the time.
inline Location home_of(const ArrayLayout& l, BandId band, std::uint32_t segment,
                        std::uint32_t role) {
    return ArrayContext(l).locate(band, segment, role);
}

}  // namespace qlcshape
