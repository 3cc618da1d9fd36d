// SPDX-License-Identifier: Apache-2.0
// Put before every source of the build with mutants. QLCSHAPE_MUTANT is the number of the mutant
// that is awake; QLCSHAPE_MUTANTS_REACHED names a file that gets the number of each mutant that was
// come by. Not part of qlcshape.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>

inline bool qlcshape_mutant_awake(int number) {
    static const int awake = [] {
        const char* text = std::getenv("QLCSHAPE_MUTANT");
        return text == nullptr ? 0 : std::atoi(text);
    }();
    static const char* const reached = std::getenv("QLCSHAPE_MUTANTS_REACHED");
    static std::array<std::atomic<bool>, 10000> noted{};
    if (reached != nullptr && !noted.at(static_cast<std::size_t>(number)).exchange(true)) {
        // Not kept open: tests count descriptors.
        const int file = ::open(reached, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        const std::string line = std::to_string(number) + "\n";
        static_cast<void>(!::write(file, line.data(), line.size()));
        ::close(file);
    }
    return awake == number;
}

constexpr bool qlcshape_mutant(int number) {
    return !__builtin_is_constant_evaluated() && qlcshape_mutant_awake(number);
}
