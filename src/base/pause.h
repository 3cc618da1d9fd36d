// SPDX-License-Identifier: Apache-2.0
// A hint to the processor between two looks at a word that another core is about to change.
#pragma once

namespace qlcshape {

inline void spin_pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace qlcshape
