// SPDX-License-Identifier: Apache-2.0
// The two SCM drives of a small array, alone, for tests of what is on both.
#pragma once

#include "core_array.h"

namespace qlcshape {

struct TwoMirrors {
    ArrayContext array;
    Power power;
    Bytes media[2];
    std::vector<std::unique_ptr<CoreDrive>> drives;
    IoQueue queue;

    TwoMirrors() {
        ArrayParameters p;
        p.data_strips = 2;
        p.qlc_count = 4;
        p.scm_count = 2;
        p.strip_bytes = 64 * KiB;
        p.band_bytes = 256 * KiB;
        p.qlc_bytes = 64 * MiB;
        p.scm_bytes = 32 * MiB;
        auto l = make_layout(p);
        if (!l) FAIL(l.error().message);
        array.layout = *l;
        for (Bytes& bytes : media) {
            bytes.resize(p.scm_bytes);
            drives.push_back(
                std::make_unique<CoreDrive>(&bytes == media ? "scm0" : "scm1", bytes, power));
            array.scm.push_back(drives.back().get());
        }
    }
};

}  // namespace qlcshape
