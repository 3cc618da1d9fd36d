// SPDX-License-Identifier: Apache-2.0
// bench: the results of a run, for people and as JSON.
#pragma once

#include <optional>

#include "bench/inplace_raid6.h"
#include "tools/bench_plan.h"
#include "tools/report.h"
#include "tools/verify.h"

namespace qlcshape::tools {

struct BenchResult {
    std::string volume;
    std::uint64_t volume_bytes = 0;
    Stats run;  // counted during the run only
    LoadResult load;
    std::optional<VerifyResult> resumed;  // the result of --verify-state, before the run
    std::optional<VerifyResult> verified;
    std::optional<InplaceResult> inplace;

    double writes_per_second() const;
    std::uint64_t mismatches() const;
};

double writes_per_second(const InplaceResult& result);
double ios_per_write(const InplaceResult& result);

void print_json(const BenchArguments& arguments, const LoadOptions& load,
                const BenchResult& result);
void print_text(const BenchArguments& arguments, const LoadOptions& load,
                const BenchResult& result);

}  // namespace qlcshape::tools
