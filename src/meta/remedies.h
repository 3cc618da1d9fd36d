// SPDX-License-Identifier: Apache-2.0
// What helps where a member lacks what it should have: the end of several messages.
#pragma once

namespace qlcshape {

inline constexpr const char* kEveryScm =
    "every scm drive is needed, so restore its current contents";
inline constexpr const char* kOpensWithout =
    "the array then opens without it, and what is written is protected against one loss less";
inline constexpr const char* kWithoutIt =
    "restore its current contents, or remove it from the array file: the array then opens without "
    "it, and what is written is protected against one loss less";

}  // namespace qlcshape
