// SPDX-License-Identifier: Apache-2.0
// Progress of a long operation, on stderr: one line redrawn on a terminal, otherwise a line for
// every tenth, at least a second apart. Used by one thread.
#pragma once

#include <chrono>
#include <string>

#include "qlcshape/options.h"

namespace qlcshape::tools {

class ProgressLine {
  public:
    ProgressLine();
    ~ProgressLine() { clear(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    // May be called at any rate: it draws at most ten times a second.
    void update(const std::string& what, double percent, const std::string& detail = {});
    // Removes the line, so that something else can be written.
    void clear();

    // For Options::progress. `this` must outlive it.
    Progress callback();

  private:
    void draw(const std::string& what, double percent, const std::string& detail);
    void log(const std::string& what, double percent, const std::string& detail);

    bool terminal_;
    bool drawn_ = false;
    std::chrono::steady_clock::time_point last_{};
    std::string last_what_;
    int next_tenth_ = 1;
};

}  // namespace qlcshape::tools
