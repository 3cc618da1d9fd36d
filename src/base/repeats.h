// SPDX-License-Identifier: Apache-2.0
// Messages that may come thousands of times a second, as one for each request after a drive failed:
// what to print of them. Each kind is printed when it first comes; later ones of it are counted,
// and once a minute the newest stands for all. A kind is a message without its numbers. Any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "qlcshape/options.h"

namespace qlcshape {

inline std::uint64_t steady_seconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

struct LogLine {
    LogLevel level;
    std::string text;
    bool operator==(const LogLine&) const = default;
};

class Repeats {
  public:
    static constexpr std::uint64_t kPauseSeconds = 60;
    static constexpr std::size_t kMostKinds = 64;  // others count as one more

    // Lines to print now that this message has come. `now_s`: seconds, from any moment on, as
    // steady_seconds() has them.
    std::vector<LogLine> see(LogLevel level, const std::string& message, std::uint64_t now_s) {
        const std::lock_guard lock(mutex_);
        std::string kind = kind_of(message);
        if (kinds_.size() >= kMostKinds) {
            std::erase_if(kinds_, [&](const auto& entry) {
                const Kind& known = entry.second;
                return known.left_out == 0 && now_s - known.printed_s >= kPauseSeconds;
            });
        }
        if (kinds_.size() >= kMostKinds && !kinds_.contains(kind)) kind.clear();
        const auto [at, first] = kinds_.try_emplace(std::move(kind));
        if (first) {
            at->second.printed_s = now_s;
        } else {
            ++at->second.left_out;
            at->second.newest = {level, message};
        }
        std::vector<LogLine> lines = due(now_s, kPauseSeconds);
        if (first) lines.push_back({level, message});
        return lines;
    }
    // Those that have waited long enough.
    std::vector<LogLine> look(std::uint64_t now_s) {
        const std::lock_guard lock(mutex_);
        return due(now_s, kPauseSeconds);
    }
    // All that have not been printed.
    std::vector<LogLine> rest(std::uint64_t now_s) {
        const std::lock_guard lock(mutex_);
        return due(now_s, 0);
    }

  private:
    struct Kind {
        std::uint64_t printed_s = 0;
        std::uint64_t left_out = 0;
        LogLine newest{};
    };

    std::vector<LogLine> due(std::uint64_t now_s, std::uint64_t pause_s) {
        std::vector<LogLine> lines;
        for (auto& [text, kind] : kinds_) {
            const std::uint64_t passed = now_s - kind.printed_s;
            if (kind.left_out == 0 || passed < pause_s) continue;
            // What counts as one more kind need not be alike.
            lines.push_back(
                {kind.newest.level, kind.newest.text + " (" + std::to_string(kind.left_out) +
                                        (text.empty() ? " of any kind" : " like this") +
                                        " in the last " + std::to_string(passed) + " s)"});
            kind.printed_s = now_s;
            kind.left_out = 0;
        }
        return lines;
    }

    // Numbers that stand alone go; those in names ("qlc1.img") stay.
    static std::string kind_of(const std::string& message) {
        constexpr std::string_view kDigits = "0123456789";
        constexpr std::string_view kEnds = " :;,.)";
        std::string kind;
        for (std::size_t at = 0; at < message.size();) {
            const std::size_t end =
                std::min(message.find_first_not_of(kDigits, at), message.size());
            const bool alone = (at == 0 || message[at - 1] == ' ') &&
                               (end == message.size() || kEnds.contains(message[end]));
            if (end == at)
                kind += message[at++];
            else if (alone)
                at = end;
            else
                for (; at < end; ++at) kind += message[at];
        }
        return kind;
    }

    std::mutex mutex_;
    std::map<std::string, Kind> kinds_;
};

}  // namespace qlcshape
