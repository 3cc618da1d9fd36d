// SPDX-License-Identifier: Apache-2.0
// All sequences of up to three operations, each cut after every device event. An array is prepared
// once: full but for its reserve, so that GC is near. Each sequence begins from it in a child
// process, and after every event another child takes the power away, recovers (with more cuts on
// the way, as chance has it), and compares everything.
#pragma once

#include <cstdint>
#include <string>

#include "sim/sim_run.h"

namespace qlcshape::sim {

enum class Step : std::uint8_t {
    write,      // of a block that was trimmed
    overwrite,  // of one that is mapped
    trim,       // of blocks, among them the one that is overwritten
    flush,
    large_write,  // over the end of what is trimmed
    gc,           // overwrites, until a band was moved
    write_back,   // reads, until the cache gave up a dirty page if there was one
    snapshot,
    count,
};

// Numbers of sequences: 1 to this.
inline constexpr std::uint64_t kSequences = 8 + 8 * 8 + 8 * 8 * 8;

// In memory that children share.
struct SequenceResult {
    RunCounts sum;
    char violation[1024];
};

RunResult run_sequence(std::uint64_t number);
// "write, trim, gc"
std::string sequence_text(std::uint64_t number);

}  // namespace qlcshape::sim
