// SPDX-License-Identifier: Apache-2.0
// The two SCM drives of a small array, alone, for tests of what is on both.
#pragma once

#include "core_array.h"
#include "small_layout.h"

namespace qlcshape {

struct TwoMirrors {
    ArrayContext array;
    Power power;
    Bytes media[2];
    std::vector<std::unique_ptr<CoreDrive>> drives;
    IoQueue queue;

    TwoMirrors() {
        array =
            ArrayContext(small_layout({.strips_per_band = 4, .bands = 254, .scm_bytes = 32 * MiB}));
        for (Bytes& bytes : media) {
            bytes.resize(array.layout.p.scm_bytes);
            drives.push_back(
                std::make_unique<CoreDrive>(&bytes == media ? "scm0" : "scm1", bytes, power));
            array.scm.push_back(drives.back().get());
        }
    }
};

}  // namespace qlcshape
