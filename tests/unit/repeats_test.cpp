// SPDX-License-Identifier: Apache-2.0
// What is printed of messages that come again and again.
#include "base/repeats.h"

#include <catch2/catch.hpp>

using namespace qlcshape;
using Lines = std::vector<LogLine>;

constexpr auto kError = LogLevel::error;

TEST_CASE("repeats: a kind is printed once, then at most once a minute with how many there were") {
    Repeats repeats;
    const auto failed = [](int at, const char* drive = "qlc1.img") {
        return "write at byte " + std::to_string(at) + ": " + drive + ": failed (errno 5)";
    };
    CHECK(repeats.see(kError, failed(0), 100) == Lines{{kError, failed(0)}});
    for (int i = 1; i < 1000; ++i)
        CHECK(repeats.see(kError, failed(i), 100 + i * 59 / 1000).empty());
    CHECK(repeats.see(kError, failed(0, "qlc2.img"), 159) ==
          Lines{{kError, failed(0, "qlc2.img")}});
    CHECK(repeats.look(159).empty());
    CHECK(repeats.see(kError, failed(7), 160) ==
          Lines{{kError, failed(7) + " (1000 like this in the last 60 s)"}});
    CHECK(repeats.see(kError, failed(8), 161).empty());
    CHECK(repeats.rest(163) == Lines{{kError, failed(8) + " (1 like this in the last 3 s)"}});
    CHECK(repeats.rest(164).empty());
    CHECK(repeats.look(1000).empty());
}

TEST_CASE("repeats: a line that was held back keeps its level") {
    Repeats repeats;
    repeats.see(LogLevel::warning, "drive qlc1.img is slow", 1);
    repeats.see(LogLevel::warning, "drive qlc1.img is slow", 2);
    CHECK(repeats.look(61) ==
          Lines{{LogLevel::warning, "drive qlc1.img is slow (1 like this in the last 60 s)"}});
}

TEST_CASE("repeats: however many kinds there are, it keeps a few, and says what it leaves out") {
    Repeats repeats;
    std::size_t printed = 0;
    for (int i = 0; i < 1000; ++i)
        printed += repeats.see(kError, "drive x" + std::to_string(i), 1).size();
    CHECK(printed == Repeats::kMostKinds + 1);
    CHECK(repeats.rest(2) == Lines{{kError, "drive x999 (935 of any kind in the last 1 s)"}});
}
