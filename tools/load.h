// SPDX-License-Identifier: Apache-2.0
// A load in fio's terms, run against a volume from the calling thread.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "base/random.h"
#include "qlcshape/stats.h"
#include "tools/closed_loop.h"
#include "tools/histogram.h"
#include "tools/zipf.h"

namespace qlcshape::tools {

struct LoadProgress {
    double percent = 0;
    double requests_per_second = 0;
    double bytes_per_second = 0;

    std::string text() const;  // "12.3 k/s, 48.1 MiB/s"
};

struct LoadOptions {
    bool random = true;
    bool trim = false;                    // trims in place of writes
    unsigned write_percent = 100;         // the rest reads
    std::uint64_t unit_bytes = 4096;      // offsets are multiples of it
    std::uint64_t units_per_request = 1;  // sequential loads only
    std::uint32_t depth = 32;
    std::uint64_t total_bytes = 0;  // to transfer; 0: no limit
    double seconds = 0;             // 0: no limit
    double zipf = 0;                // 0: uniform
    std::uint64_t seed = 1;
    std::function<void(const LoadProgress&)> progress;
};

struct LoadResult {
    std::uint64_t reads = 0, writes = 0, trims = 0;  // requests
    std::uint64_t read_bytes = 0, written_bytes = 0, trimmed_bytes = 0;
    double seconds = 0;
    LatencySummary read, write;    // of trims where there are no writes
    std::uint64_t mismatches = 0;  // blocks read that were not as acknowledged
    std::string first_mismatch;
};

// Set by SIGINT and SIGTERM once stop_on_signals() was called: loads then end early and cleanly.
extern std::atomic<bool> stop_requested;
void stop_on_signals();

// With `table` (of the same unit) every write has contents of its own and every read is checked.
Result<LoadResult> run_load(const Volume& volume, const LoadOptions& options, StampTable* table);

}  // namespace qlcshape::tools
