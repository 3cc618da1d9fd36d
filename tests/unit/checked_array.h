// SPDX-License-Identifier: Apache-2.0
// What `check` says of an array.
#pragma once

#include "core_array.h"
#include "recovery/check.h"

namespace qlcshape {

// Of one that is not open.
inline std::vector<std::string> problems_of(CoreArray& array) {
    array.power.on = true;
    IoQueue queue;
    auto found = discover(array.drives(), {}, queue);
    REQUIRE(found);
    const auto report = check_array(context_of(*found), found->superblock, queue, {});
    REQUIRE(report);
    return report->problems;
}

struct CheckedArray : CoreArray {
    using CoreArray::CoreArray;
    // It is closed first.
    std::vector<std::string> problems() {
        REQUIRE(close());
        return problems_of(*this);
    }
};

}  // namespace qlcshape
