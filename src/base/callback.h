// SPDX-License-Identifier: Apache-2.0
// Marks a thread while it runs a function of the caller's: a request's `done`, the log. A call that
// waits for the engine would wait for itself there, so such calls check this mark and are refused.
#pragma once

namespace qlcshape {

class InCallback {
  public:
    InCallback() { ++depth_; }
    ~InCallback() { --depth_; }
    InCallback(const InCallback&) = delete;
    InCallback& operator=(const InCallback&) = delete;
    static bool now() { return depth_ != 0; }

  private:
    static inline thread_local unsigned depth_ = 0;
};

}  // namespace qlcshape
