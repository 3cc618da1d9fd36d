// SPDX-License-Identifier: Apache-2.0
// Marks a thread while it runs a function of the program's: a request's `done`, a line of the log.
// What would wait there for the engine would wait for itself, so such calls look here and refuse.
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
