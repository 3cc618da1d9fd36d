// SPDX-License-Identifier: Apache-2.0
// Addresses on media have 38 bits: an array that would need more must be refused.
#include <catch2/catch.hpp>

#include "format/layout.h"

using namespace qlcshape;

TEST_CASE("layout: no more blocks than an LBA of 38 bits can name") {
    ArrayParameters p;
    p.data_strips = 32;
    p.qlc_count = 34;
    p.scm_count = 8;
    p.qlc_bytes = 111 * TiB;
    p.scm_bytes = 64 * TiB;
    const auto l = make_layout(p);
    INFO((l ? l->pmt_pages * kPageEntries >> kLbaBits : 0));
    CHECK((!l || (l->pmt_pages * kPageEntries >> kLbaBits) == 0));
}
