// SPDX-License-Identifier: Apache-2.0
// When a drive counts as one that takes no writes.
#include <catch2/catch.hpp>

#include "device/refusals.h"

using namespace qlcshape;

TEST_CASE("refusals: three writes that fail in a row, and no fewer") {
    Refusals refusals;
    for (int i = 0; i < 2; ++i) refusals.note_failure();
    CHECK_FALSE(refusals.too_many());
    refusals.note_failure();
    CHECK(refusals.too_many());
}

TEST_CASE("refusals: a failure now and then is made up for") {
    Refusals refusals;
    for (int i = 0; i < 100; ++i) {
        refusals.note_failure();
        for (int n = 0; n < 64; ++n) refusals.note_success();
        CHECK_FALSE(refusals.too_many());
    }
}

TEST_CASE("refusals: every other write that fails is too many") {
    Refusals refusals;
    for (int i = 0; i < 4; ++i) {
        refusals.note_failure();
        refusals.note_success();
    }
    CHECK(refusals.too_many());
}
