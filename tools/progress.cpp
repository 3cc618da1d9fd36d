// SPDX-License-Identifier: Apache-2.0
#include "tools/progress.h"
#include "tools/tell.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace qlcshape::tools {

namespace {

constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kLog{1};
constexpr int kBarCells = 20;

std::string bar(double percent) {
    const int full = static_cast<int>(percent / 100 * kBarCells);
    return std::string(static_cast<std::size_t>(full), '#') +
           std::string(static_cast<std::size_t>(kBarCells - full), '.');
}

}  // namespace

ProgressLine::ProgressLine() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressLine::update(const std::string& what, double percent, const std::string& detail) {
    percent = std::clamp(percent, 0.0, 100.0);
    if (what != last_what_) {
        last_what_ = what;
        last_ =
            terminal_ ? std::chrono::steady_clock::time_point{} : std::chrono::steady_clock::now();
        next_tenth_ = 1;
    }
    if (terminal_) {
        draw(what, percent, detail);
    } else {
        log(what, percent, detail);
    }
}

void ProgressLine::clear() {
    if (drawn_) std::fputs("\r\033[K", stderr);
    drawn_ = false;
}

Progress ProgressLine::callback() {
    return [this](const std::string& what, double percent) { update(what, percent); };
}

void ProgressLine::draw(const std::string& what, double percent, const std::string& detail) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kRedraw) return;
    last_ = now;
    drawn_ = true;
    tell("\r\033[K{:<20} [{}] {:3.0f} %  {}", what, bar(percent), percent, detail);
    std::fflush(stderr);
}

void ProgressLine::log(const std::string& what, double percent, const std::string& detail) {
    const int tenth = static_cast<int>(percent / 10);
    const auto now = std::chrono::steady_clock::now();
    if (tenth < next_tenth_ || now - last_ < kLog) return;
    last_ = now;
    next_tenth_ = tenth + 1;
    tell("{}: {} %{}{}\n", what, tenth * 10, detail.empty() ? "" : ", ", detail);
}

}  // namespace qlcshape::tools
