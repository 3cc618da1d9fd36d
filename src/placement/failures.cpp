// SPDX-License-Identifier: Apache-2.0
#include "placement/failures.h"

namespace qlcshape {

std::string drive_failures(const ArrayContext& array) {
    std::string text;
    for (const auto* drives : {&array.qlc, &array.scm}) {
        for (const Device* d : *drives) {
            if (d == nullptr || d->failures() == 0) continue;
            text += (text.empty() ? "" : "; ") + d->last_failure();
        }
    }
    return text.empty() ? "no drive reports a failed transfer" : text;
}

}  // namespace qlcshape
