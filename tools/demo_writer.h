// SPDX-License-Identifier: Apache-2.0
// demo: the process that is killed. It makes the array, fills a volume and then overwrites it at
// random; what was acknowledged is recorded in memory that outlives it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>

#include "qlcshape/options.h"
#include "tools/stamps.h"

namespace qlcshape::tools {

inline constexpr std::uint32_t kDemoDepth = 64;
inline constexpr const char* kDemoVolume = "demo";

struct WriterJob {
    const Options* options = nullptr;
    StampTable* table = nullptr;
    std::uint64_t volume_bytes = 0;
    std::uint64_t overwrite_bytes = 0;
};

class Writer {
  public:
    enum Phase : int { creating, filling, overwriting, done };

    Writer();
    ~Writer();  // kills
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Forks. The calling process must have no other thread.
    Status start(const WriterJob& job);

    // Waits until it has begun `phase` and is `percent` through it. Fails if it failed.
    using Watch = std::function<void(double percent, double per_second)>;
    Status wait_until(Phase phase, double percent, const Watch& watch);

    // SIGKILL, and then it is gone.
    void kill();

    double percent() const;
    double per_second() const;  // requests, in the present phase

  private:
    // Written by the child, read by the parent.
    struct Shared {
        std::atomic<int> phase;
        std::atomic<std::uint32_t> permille;
        std::atomic<std::uint32_t> per_second;
        Errc error_code;
        char error[1024];  // valid once the child has ended
    };

    Status ended(int wait_status) const;
    static Status write_for_ever(const WriterJob& job, Shared& shared);

    Shared* shared_ = nullptr;
    ::pid_t child_ = -1;
};

}  // namespace qlcshape::tools
