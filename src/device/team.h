// SPDX-License-Identifier: Apache-2.0
// Work that is divided: parts that run at the same time, each with an I/O queue of its own. The
// engine has a thread for each; a simulator runs them one after the other.
#pragma once

#include <cstdint>
#include <functional>

#include "device/io.h"

namespace qlcshape {

using TeamJob = std::function<void(std::uint32_t part, IoQueue& queue)>;

struct Team {
    std::uint32_t parts = 1;
    // Calls the job for each part from 0 to parts - 1, part 0 on the caller's thread; returns when
    // all have returned.
    std::function<void(const TeamJob& job)> run;
};

// Only the caller.
inline Team team_of_one(IoQueue& queue) {
    return {1, [&queue](const TeamJob& job) { job(0, queue); }};
}

}  // namespace qlcshape
