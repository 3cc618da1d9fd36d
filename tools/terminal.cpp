// SPDX-License-Identifier: Apache-2.0
#include "tools/terminal.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/printable.h"

namespace qlcshape::tools {

namespace {

constexpr char kCtrlD = 4;

sigset_t watched_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&set, signal);
    return set;
}

}  // namespace

std::string cut_to(const std::string& text, std::size_t columns, std::size_t rows) {
    std::string out;
    std::size_t column = 0;
    std::size_t row = 0;
    for (const char c : text) {
        if (c == '\n') {
            if (++row == rows) break;
            column = 0;
            out += c;
            continue;
        }
        const bool begins = (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // of a character
        if (begins) ++column;
        if (column <= columns) out += c;
    }
    return out;
}

Terminal::Terminal() {
    const sigset_t watched = watched_signals();
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);
    signals_ = ::signalfd(-1, &watched, SFD_CLOEXEC);
    // To change the terminal of another job's would stop this one.
    keys_ = ::tcgetpgrp(STDIN_FILENO) == ::getpgrp() && ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!keys_) return;
    termios by_key = before_;
    by_key.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    by_key.c_cc[VMIN] = 1;
    by_key.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &by_key);
}

Terminal::~Terminal() {
    if (keys_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    ::close(signals_);
}

void Terminal::draw(const std::string& text) {
    text_ = printable(text, LineBreaks::kept);
    redraw();
}

void Terminal::redraw() const {
    winsize size{};
    ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    const std::size_t columns = size.ws_col == 0 ? 80 : size.ws_col;
    const std::size_t rows = size.ws_row == 0 ? 24 : size.ws_row;
    fmt::print("\033[H\033[2J{}", cut_to(text_, columns, rows));
    std::fflush(stdout);
}

bool Terminal::wait(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return true;
        pollfd polled[2] = {{signals_, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        ::poll(polled, keys_ ? 2 : 1, static_cast<int>(left.count()));
        if (polled[0].revents != 0 && ends_by_signal()) return false;
        if (keys_ && polled[1].revents != 0 && ends_by_key()) return false;
    }
}

bool Terminal::ends_by_key() const {
    char key = 0;
    return ::read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == kCtrlD;
}

bool Terminal::ends_by_signal() const {
    signalfd_siginfo signal{};
    if (::read(signals_, &signal, sizeof(signal)) != sizeof(signal)) return true;
    if (signal.ssi_signo != SIGWINCH) return true;
    redraw();
    return false;
}

}  // namespace qlcshape::tools
