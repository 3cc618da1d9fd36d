// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "base/error.h"
#include "qlcshape/engine.h"
#include "tools/units.h"

namespace qlcshape::tools {

namespace {

struct Pattern {
    std::string_view name;
    bool random, trim, mixed;
    unsigned write_percent;
};

constexpr std::array<Pattern, 9> kPatterns{{{"read", false, false, false, 0},
                                            {"write", false, false, false, 100},
                                            {"trim", false, true, false, 100},
                                            {"rw", false, false, true, 0},
                                            {"readwrite", false, false, true, 0},
                                            {"randread", true, false, false, 0},
                                            {"randwrite", true, false, false, 100},
                                            {"randtrim", true, true, false, 100},
                                            {"randrw", true, false, true, 0}}};

// "uniform" or "zipf:1.1" -> theta, 0 for uniform.
Result<double> parse_distribution(const std::string& text) {
    if (text == "uniform" || text == "random") return 0.0;
    constexpr std::string_view kZipf = "zipf:";
    if (text.starts_with(kZipf)) {
        double theta = 0;
        const char* const last = text.data() + text.size();
        const auto [end, error] = std::from_chars(text.data() + kZipf.size(), last, theta);
        if (error == std::errc() && end == last && theta > 0 && theta <= 10) return theta;
    }
    return fail(
        Errc::invalid_argument,
        "--random-distribution: \"{}\": give uniform, or zipf:T with T above 0, as zipf:0.99",
        text);
}

Status check_ranges(const BenchArguments& a, const LoadOptions& load) {
    if (load.unit_bytes == 0 || load.unit_bytes % kSector != 0 || load.unit_bytes > 16 * MiB) {
        return fail(Errc::invalid_argument, "--bs: \"{}\": give a multiple of 512 up to 16m", a.bs);
    }
    if (load.depth == 0 || load.depth > Engine::kMaxRequests) {
        return fail(Errc::invalid_argument, "--iodepth: {}: give 1 to {}", a.iodepth,
                    Engine::kMaxRequests);
    }
    if (!(a.runtime >= 0) || !(a.passes >= 0)) {
        return fail(Errc::invalid_argument, "--runtime and --passes can't be less than 0");
    }
    if (a.rwmixread > 100) {
        return fail(Errc::invalid_argument, "--rwmixread: {}: give a percentage", a.rwmixread);
    }
    if (a.verify && load.trim && load.unit_bytes % kBlockBytes != 0) {
        return fail(
            Errc::invalid_argument,
            "--bs: {}: only whole blocks are trimmed: --verify of trims needs a multiple of 4k",
            a.bs);
    }
    if (a.inplace && (a.rw != "randwrite" || load.unit_bytes != kBlockBytes || load.zipf > 0)) {
        return fail(Errc::invalid_argument,
                    "--inplace: the comparison is of uniform --rw randwrite --bs 4k; leave it out");
    }
    if (!a.verify_state.empty() && (!a.verify || a.memory)) {
        return fail(Errc::invalid_argument,
                    "--verify-state: needs --verify, and an array that stays");
    }
    if (a.memory && !a.volume.empty()) {
        return fail(Errc::invalid_argument,
                    "--volume: with --memory the bench makes a volume of its own; leave one out");
    }
    return {};
}

}  // namespace

Result<LoadOptions> plan_load(const BenchArguments& a) {
    LoadOptions load;
    const auto pattern = std::find_if(kPatterns.begin(), kPatterns.end(),
                                      [&](const Pattern& p) { return p.name == a.rw; });
    if (pattern == kPatterns.end()) {
        return fail(
            Errc::invalid_argument,
            "--rw: \"{}\": give read, write, trim, rw, randread, randwrite, randtrim or randrw",
            a.rw);
    }
    load.random = pattern->random;
    load.trim = pattern->trim;
    load.write_percent =
        pattern->mixed ? 100 - std::min(a.rwmixread, 100u) : pattern->write_percent;
    if (a.read_only && (load.write_percent != 0 || load.trim || a.prefill || a.memory)) {
        return fail(Errc::invalid_argument,
                    "--read-only: --rw {}{}{} writes; read with --rw read or randread", a.rw,
                    a.prefill ? " --prefill" : "", a.memory ? " --memory" : "");
    }
    const Result<std::uint64_t> bs = parse_amount(a.bs);
    if (!bs) return fail(bs.error().code, "--bs: {}", bs.error().message);
    load.unit_bytes = *bs;
    const Result<double> zipf = parse_distribution(a.distribution);
    if (!zipf) return fail(zipf.error());
    load.zipf = load.random ? *zipf : 0;
    if (!a.size.empty()) {
        const Result<std::uint64_t> size = parse_amount(a.size);
        if (!size) return fail(size.error().code, "--size: {}", size.error().message);
    }
    load.depth = a.iodepth;
    load.seconds = a.runtime;
    load.seed = a.seed;
    QS_TRY(check_ranges(a, load));
    return load;
}

std::uint64_t bytes_to_transfer(const BenchArguments& a, std::uint64_t volume_bytes) {
    if (a.passes > 0)
        return static_cast<std::uint64_t>(a.passes * static_cast<double>(volume_bytes));
    if (!a.size.empty()) return parse_amount(a.size).value_or(0);
    return a.runtime > 0 ? 0 : volume_bytes;
}

}  // namespace qlcshape::tools
