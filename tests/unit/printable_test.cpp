// SPDX-License-Identifier: Apache-2.0
// Control characters of names, on the way to a terminal, a log, metrics.
#include <catch2/catch.hpp>
#include <string>

#include "base/error.h"
#include "base/printable.h"
#include "engine/monitor.h"
#include "qlcshape/stats.h"

using namespace qlcshape;

namespace {

bool has_control(const std::string& text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) return true;
    }
    return text.find("\xc2\x9b") != std::string::npos || text.find("\x9b") != std::string::npos;
}

const std::string kNasty = "a\x1b[2J\r\nb\x7f\xc2\x9b\x9b";

}  // namespace

TEST_CASE("printable: control characters and bytes that are not UTF-8 are quoted") {
    CHECK(printable("qlc0.img: 10 GiB") == "qlc0.img: 10 GiB");
    CHECK(printable("a\x1b[2Jb") == "a\\x1b[2Jb");
    CHECK(printable("a\tb\nc\r") == "a\\x09b\\x0ac\\x0d");
    CHECK(printable("a\nb\x1b\n", LineBreaks::kept) == "a\nb\\x1b\n");
    CHECK(printable(std::string_view("a\0b", 3)) == "a\\x00b");
    CHECK(printable("\x7f\xc2\x80\xc2\x9b\xc2\x9f") == "\\x7f\\xc2\\x80\\xc2\\x9b\\xc2\\x9f");
    CHECK(printable("\xc2\xa0") == "\xc2\xa0");
    // Right to left, and back.
    CHECK(printable("a\xe2\x80\xae"
                    "b\xe2\x81\xa6") == "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6");
    for (const char* text :
         {"Pl\xc3\xa4tze", "\xe2\x82\xac", "\xf0\x9f\x92\xbe", "\xf4\x8f\xbf\xbf"})
        CHECK(printable(text) == text);
    CHECK(printable("\xe4") == "\\xe4");
    CHECK(printable("\xe4x") == "\\xe4x");
    CHECK(printable("\xe2\x82") == "\\xe2\\x82");
    CHECK(printable("\xc0\x9b") == "\\xc0\\x9b");           // too long
    CHECK(printable("\xe0\x82\x9b") == "\\xe0\\x82\\x9b");  // too long
    CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // half of a pair
    CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
    CHECK(printable("\xff") == "\\xff");
}

TEST_CASE("printable: errors, log lines and metrics have no control characters") {
    const auto error = fail(Errc::damaged, "{}: damaged", kNasty);
    CHECK_FALSE(has_control(error.error().message));
    // A path that is there already is not put there twice.
    CHECK(with_path(kNasty, error.error().message) == error.error().message);
    CHECK_FALSE(has_control(with_path(kNasty, "damaged")));

    std::string logged;
    Options options;
    options.log = [&](LogLevel, const std::string& text) { logged = text; };
    log(options, LogLevel::warning, "{}: damaged", kNasty);
    CHECK(logged == error.error().message);

    Stats stats;
    stats.array_name = kNasty;
    stats.devices.emplace_back();
    stats.devices.back().path = kNasty;
    std::string metrics = to_prometheus(stats);
    CHECK(metrics.find("path=\"a\\\\x1b[2J\\\\x0d\\\\x0ab\\\\x7f") != std::string::npos);
    std::erase(metrics, '\n');
    CHECK_FALSE(has_control(metrics));
}
