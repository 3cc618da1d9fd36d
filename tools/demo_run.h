// SPDX-License-Identifier: Apache-2.0
// demo: the steps, one after the other. Each prints a line when it is done and returns what makes
// the later ones impossible; what is merely wrong is counted.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "bench/inplace_raid6.h"
#include "qlcshape/engine.h"
#include "tools/demo_writer.h"
#include "tools/load.h"
#include "tools/progress.h"
#include "tools/verify.h"

namespace qlcshape::tools {

struct DemoResult {
    std::uint64_t volume_bytes = 0;
    std::uint64_t strip_bytes = 0;
    std::uint64_t acknowledged_at_kill = 0;  // random writes, about
    Stats::Recovery recovery;
    VerifyResult after_kill, after_loss;
    LoadResult load;  // of the overwriting after recovery
    Stats run;        // counted during that
    CheckReport check;
    InplaceResult inplace;
    double seconds = 0;

    std::uint64_t wrong() const {
        return after_kill.mismatches + after_loss.mismatches + check.problems_found;
    }
};

class Demo {
  public:
    // `out` takes the lines, one a step. The folder exists and is empty.
    Demo(const std::string& folder, const Options& options, std::uint64_t volume_bytes,
         std::FILE* out);

    Result<DemoResult> run();

  private:
    Status make_and_fill(Writer& writer);
    Status overwrite_and_kill(Writer& writer);
    Status recover_and_verify();
    Status overwrite_on();
    Status check();
    Status lose_two_drives();
    Status verify_without_them(const Options& options);
    Status compare_in_place();

    void begin_step();
    void end_step(const std::string& what, const std::string& text);
    void name_wrong(const VerifyResult& verified);
    Result<VerifyResult> verify(const Volume& volume);

    const std::string folder_;
    Options options_;
    StampTable table_;
    std::FILE* out_;
    ProgressLine progress_;
    Clock::time_point step_began_;
    int step_ = 0;
    std::unique_ptr<Engine> engine_;
    DemoResult result_;
};

}  // namespace qlcshape::tools
