// SPDX-License-Identifier: Apache-2.0
// A terminal that a view is redrawn on: lines are cut to its width, q ends it. One at a time, on
// the main thread.
#pragma once

#include <termios.h>

#include <chrono>
#include <string>

namespace qlcshape::tools {

// What fits: the first `rows` lines, of each the first `columns` characters of UTF-8.
std::string cut_to(const std::string& text, std::size_t columns, std::size_t rows);

class Terminal {
  public:
    Terminal();
    ~Terminal();  // restores it, except for what was drawn
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    // From the upper left corner; replaces what was there.
    void draw(const std::string& text);
    // Redraws whenever the terminal's size changes. False when the user wants to end: q, Ctrl-C,
    // a signal to end, or a terminal that is gone.
    bool wait(std::chrono::milliseconds time);

  private:
    void redraw() const;
    bool ends_by_key() const;
    bool ends_by_signal() const;

    std::string text_;
    int signals_ = -1;
    bool keys_ = false;  // stdin is the terminal too, and ours
    termios before_{};
};

}  // namespace qlcshape::tools
