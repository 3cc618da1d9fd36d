// SPDX-License-Identifier: Apache-2.0
// Keeps things until the process ends: what a drive may still write to after it was given up, and
// the locks that say so.
#pragma once

#include <memory>

namespace qlcshape {

// Any thread.
void keep(std::shared_ptr<const void> thing);

}  // namespace qlcshape
