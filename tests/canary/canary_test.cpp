// Each canary (src/base/canary.h) is woken in turn, and the simulator must notice within a number
// of seeds. Each seed runs in a child process, so that an assertion counts as noticing, too.
#include "base/canary.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "tests/sim/sim_run.h"

namespace qlcshape {

namespace {

constexpr std::uint32_t kCycles = 8;
constexpr unsigned kHangSeconds = 60;

// What was noticed in one seed; empty: nothing.
std::string noticed(Canary awake, std::uint64_t seed) {
    int ends[2];
    if (::pipe(ends) != 0) return "no pipe";
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::alarm(kHangSeconds);
        awake_canary = awake;
        const auto result = sim::run_history(seed, kCycles);
        fmt::print(stderr, "{}", result.violation);
        std::_Exit(result.violation.empty() ? 0 : 1);
    }
    ::close(ends[1]);
    std::string text;
    char part[512];
    for (ssize_t n; (n = ::read(ends[0], part, sizeof(part))) > 0;)
        text.append(part, static_cast<std::size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return "it hangs";
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return text.empty() ? "it died" : text;
    return "";
}

// QLCSHAPE_CANARY_SEEDS: look at as many seeds, and tell of each.
void must_notice(Canary awake, const char* name, std::uint64_t most) {
    const char* all = std::getenv("QLCSHAPE_CANARY_SEEDS");
    if (all != nullptr) most = std::strtoull(all, nullptr, 10);
    std::uint64_t times = 0;
    for (std::uint64_t seed = 1; seed <= most; ++seed) {
        const std::string what = noticed(awake, seed);
        if (what.empty()) continue;
        ++times;
        fmt::print("{}: noticed at seed {} of {}: {}\n", name, seed, most, what);
        std::fflush(stdout);
        if (all == nullptr) break;
    }
    if (all != nullptr) fmt::print("{}: noticed in {} of {} seeds\n", name, times, most);
    INFO("canary " << name << " sang, and nobody noticed in " << most << " seeds");
    CHECK(times != 0);
}

}  // namespace

// The second number: within so many seeds.
#define QS_CANARY(name, most) \
    TEST_CASE("canary: " #name) { must_notice(Canary::name, #name, most); }

QS_CANARY(skip_tps_flush, 20)
QS_CANARY(one_mirror, 20)
QS_CANARY(split_atomic, 20)
QS_CANARY(reuse_tps_early, 20)
QS_CANARY(merge_over_trim, 20)
QS_CANARY(publish_unflushed, 20)
QS_CANARY(publish_unsettled, 20)
QS_CANARY(band_used_before_record, 20)
QS_CANARY(band_erased_before_record, 20)
QS_CANARY(band_freed_early, 20)
QS_CANARY(exchange_always, 20)
QS_CANARY(forget_trim, 20)
QS_CANARY(ignore_crc, 20)
QS_CANARY(table_not_flushed, 20)
QS_CANARY(keep_unfinished_recovery, 20)
QS_CANARY(keep_unproved_tail, 20)
QS_CANARY(drop_last_record, 20)
QS_CANARY(replay_in_band_order, 20)

TEST_CASE("canary: none, and the same seeds pass") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        CHECK(noticed(Canary::none, seed) == "");
    }
}

}  // namespace qlcshape
