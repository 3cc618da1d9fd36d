// SPDX-License-Identifier: Apache-2.0
// How far a long operation is, on stderr: one line redrawn on a terminal, else a line for every
// tenth of the way, a second apart at the least. Used by one thread.
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

    // May be called as often as one likes: it draws ten times a second at most.
    void update(const std::string& what, double percent, const std::string& detail = {});
    // Takes the line away, so that something else can be written.
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
