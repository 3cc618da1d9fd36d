// SPDX-License-Identifier: Apache-2.0
// Brings drives back that are out, or were missing at the opening, once they can be opened and take
// what they missed: looks for them every ten seconds. One that goes out again and again stays out:
// each time bands are cut short, and what they lack is rewritten.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/engine_impl.h"

namespace qlcshape {

class Returns {
  public:
    static constexpr std::uint64_t kLookSeconds = 10;
    static constexpr std::size_t kMostAnHour = 3;
    static constexpr std::uint64_t kMostSeconds = 160;  // between looks at one that is refused

    // Both must outlive it.
    Returns(const Options& options, Engine::Impl& engine) : options_(options), engine_(engine) {}

    // To be called some times a second, by one thread: it may take as long as a drive takes.
    void look();

  private:
    struct Known {
        std::vector<std::uint64_t> returns;  // the times of those within an hour, in seconds
        std::string told;                    // in the log
        std::uint64_t pause_s = 0, next_s = 0;
    };
    void try_at(const std::string& path, Known& known);

    const Options& options_;
    Engine::Impl& engine_;
    std::uint64_t looked_s_ = 0;
    std::map<std::string, Known> known_;  // by path
};

}  // namespace qlcshape
