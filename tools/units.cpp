// SPDX-License-Identifier: Apache-2.0
#include "tools/units.h"

#include <fmt/format.h>

#include <array>
#include <cctype>

#include "qlcshape/options.h"

namespace qlcshape::tools {

namespace {

// Three digits, as many of them after the point as the size of the number leaves.
std::string three_digits(double value) {
    return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

template <std::size_t n>
std::string scaled(double value, double step, const std::array<const char*, n>& units) {
    std::size_t i = 0;
    while (i + 1 < n && value >= step * 0.9995) {
        value /= step;
        ++i;
    }
    return fmt::format("{} {}", three_digits(value), units[i]);
}

}  // namespace

std::string count_text(double count) {
    static constexpr std::array<const char*, 4> kUnits{"k", "M", "G", "T"};
    if (count < 10000) return fmt::format("{:.0f}", count);
    return scaled(count / 1000, 1000, kUnits);
}

std::string rate_text(double per_second) {
    static constexpr std::array<const char*, 3> kUnits{"k/s", "M/s", "G/s"};
    if (per_second < 1000) return fmt::format("{:.0f} /s", per_second);
    return scaled(per_second / 1000, 1000, kUnits);
}

std::string seconds_text(double seconds) {
    if (seconds < 60) return three_digits(seconds) + " s";
    const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
    if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
    return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string long_text(double seconds) {
    const double days = seconds / 86400;
    if (days < 2) return seconds_text(seconds);
    return days < 730 ? fmt::format("{:.1f} days", days) : fmt::format("{:.1f} years", days / 365);
}

std::string micros_text(double microseconds) {
    static constexpr std::array<const char*, 3> kUnits{"us", "ms", "s"};
    return scaled(microseconds, 1000, kUnits);
}

std::string percent_text(double share) { return fmt::format("{:.1f} %", share * 100); }

Result<std::uint64_t> parse_amount(const std::string& text) {
    if (text.size() < 2 || std::isdigit(static_cast<unsigned char>(text[text.size() - 2])) == 0) {
        return parse_size(text);
    }
    switch (text.back()) {
        case 'k':
        case 'K':
            return parse_size(text.substr(0, text.size() - 1) + "KiB");
        case 'm':
        case 'M':
            return parse_size(text.substr(0, text.size() - 1) + "MiB");
        case 'g':
        case 'G':
            return parse_size(text.substr(0, text.size() - 1) + "GiB");
        case 't':
        case 'T':
            return parse_size(text.substr(0, text.size() - 1) + "TiB");
        default:
            return parse_size(text);
    }
}

}  // namespace qlcshape::tools
