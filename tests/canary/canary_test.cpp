// SPDX-License-Identifier: Apache-2.0
// Each canary (src/base/canary.h) is enabled in turn, and the simulator must catch it within a
// number of seeds. Each seed runs in a child process, so that an assertion counts, too.
#include "base/canary.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "sim/sim_run.h"

namespace qlcshape {

namespace {

constexpr unsigned kHangSeconds = 60;
const std::uint32_t kCycles = sim::usual_cycles(sim::Profile::cuts);

// What was caught in one seed; empty: nothing.
std::string noticed(Canary awake, std::uint64_t seed, sim::Profile profile, std::uint32_t cycles) {
    int ends[2];
    if (::pipe(ends) != 0) return "no pipe";
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::alarm(kHangSeconds);
        awake_canary = awake;
        const auto result = sim::run_history(seed, cycles, profile);
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

// QLCSHAPE_CANARY_SEEDS: run as many seeds, and report each.
void must_notice(Canary awake, const char* name, std::uint64_t most,
                 sim::Profile profile = sim::Profile::cuts, std::uint32_t cycles = kCycles) {
    const char* all = std::getenv("QLCSHAPE_CANARY_SEEDS");
    if (all != nullptr) most = std::strtoull(all, nullptr, 10);
    std::uint64_t times = 0;
    for (std::uint64_t seed = 1; seed <= most; ++seed) {
        const std::string what = noticed(awake, seed, profile, cycles);
        if (what.empty()) continue;
        ++times;
        fmt::print("{}: noticed at seed {} of {}: {}\n", name, seed, most, what);
        std::fflush(stdout);
        if (all == nullptr) break;
    }
    if (all != nullptr) fmt::print("{}: noticed in {} of {} seeds\n", name, times, most);
    INFO("canary " << name << " was not caught in " << most << " seeds");
    CHECK(times != 0);
}

}  // namespace

// Within so many seeds.
TEST_CASE("canary: none, and the same seeds pass") {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        for (const sim::Profile profile :
             {sim::Profile::cuts, sim::Profile::media, sim::Profile::older, sim::Profile::beyond}) {
            INFO("seed " << seed);
            CHECK(noticed(Canary::none, seed, profile, kCycles) == "");
        }
    }
}
TEST_CASE("canary: skip_tps_flush") { must_notice(Canary::skip_tps_flush, "skip_tps_flush", 20); }
TEST_CASE("canary: one_mirror") { must_notice(Canary::one_mirror, "one_mirror", 20); }
TEST_CASE("canary: split_atomic") { must_notice(Canary::split_atomic, "split_atomic", 20); }
TEST_CASE("canary: split_unaligned") {
    must_notice(Canary::split_unaligned, "split_unaligned", 40);
}
TEST_CASE("canary: reuse_tps_early") {
    must_notice(Canary::reuse_tps_early, "reuse_tps_early", 20);
}
TEST_CASE("canary: merge_over_trim") {
    must_notice(Canary::merge_over_trim, "merge_over_trim", 20);
}
TEST_CASE("canary: publish_unflushed") {
    must_notice(Canary::publish_unflushed, "publish_unflushed", 20);
}
TEST_CASE("canary: publish_unsettled") {
    must_notice(Canary::publish_unsettled, "publish_unsettled", 60, sim::Profile::drives);
}
TEST_CASE("canary: band_used_before_record") {
    must_notice(Canary::band_used_before_record, "band_used_before_record", 20);
}
TEST_CASE("canary: band_erased_before_record") {
    must_notice(Canary::band_erased_before_record, "band_erased_before_record", 20);
}
TEST_CASE("canary: band_freed_early") {
    must_notice(Canary::band_freed_early, "band_freed_early", 20);
}
TEST_CASE("canary: exchange_always") {
    must_notice(Canary::exchange_always, "exchange_always", 20);
}
TEST_CASE("canary: forget_trim") { must_notice(Canary::forget_trim, "forget_trim", 20); }
TEST_CASE("canary: ignore_crc") {
    must_notice(Canary::ignore_crc, "ignore_crc", 20, sim::Profile::media);
}
TEST_CASE("canary: believe_direct_read") {
    must_notice(Canary::believe_direct_read, "believe_direct_read", 40, sim::Profile::media);
}
TEST_CASE("canary: table_not_flushed") {
    must_notice(Canary::table_not_flushed, "table_not_flushed", 20);
}
TEST_CASE("canary: in_before_in_force") {
    must_notice(Canary::in_before_in_force, "in_before_in_force", 80, sim::Profile::away);
}
TEST_CASE("canary: absent_is_named") {
    must_notice(Canary::absent_is_named, "absent_is_named", 20, sim::Profile::away);
}
TEST_CASE("canary: returned_scm_taken") {
    must_notice(Canary::returned_scm_taken, "returned_scm_taken", 80, sim::Profile::away);
}
TEST_CASE("canary: joins_without_table") {
    must_notice(Canary::joins_without_table, "joins_without_table", 100, sim::Profile::away);
}
TEST_CASE("canary: resilver_without_table") {
    must_notice(Canary::resilver_without_table, "resilver_without_table", 80, sim::Profile::away);
}
TEST_CASE("canary: one_copy_written") {
    must_notice(Canary::one_copy_written, "one_copy_written", 80, sim::Profile::away);
}
TEST_CASE("canary: unlike_copies_stay") {
    must_notice(Canary::unlike_copies_stay, "unlike_copies_stay", 150, sim::Profile::all);
}
TEST_CASE("canary: returned_not_erased") {
    must_notice(Canary::returned_not_erased, "returned_not_erased", 60, sim::Profile::away);
}
TEST_CASE("canary: left_before_record") {
    must_notice(Canary::left_before_record, "left_before_record", 200, sim::Profile::away);
}
TEST_CASE("canary: left_band_goes_on") {
    must_notice(Canary::left_band_goes_on, "left_band_goes_on", 400, sim::Profile::away);
}
TEST_CASE("canary: decide_late") { must_notice(Canary::decide_late, "decide_late", 400); }
TEST_CASE("canary: keep_unproved_tail") {
    must_notice(Canary::keep_unproved_tail, "keep_unproved_tail", 20);
}
TEST_CASE("canary: keep_damaged_tail") {
    must_notice(Canary::keep_damaged_tail, "keep_damaged_tail", 20, sim::Profile::media);
}
TEST_CASE("canary: unread_is_zeroes") {
    must_notice(Canary::unread_is_zeroes, "unread_is_zeroes", 80, sim::Profile::media);
}
TEST_CASE("canary: drop_last_record") {
    must_notice(Canary::drop_last_record, "drop_last_record", 20);
}
TEST_CASE("canary: replay_in_band_order") {
    must_notice(Canary::replay_in_band_order, "replay_in_band_order", 20);
}
TEST_CASE("canary: snapshot_too_new") {
    must_notice(Canary::snapshot_too_new, "snapshot_too_new", 20);
}
TEST_CASE("canary: snapshot_unflushed") {
    must_notice(Canary::snapshot_unflushed, "snapshot_unflushed", 100);
}
TEST_CASE("canary: bits_after_snapshot") {
    must_notice(Canary::bits_after_snapshot, "bits_after_snapshot", 20);
}
TEST_CASE("canary: bits_before_pages") {
    // Most pages are written for the first time while the array is young.
    must_notice(Canary::bits_before_pages, "bits_before_pages", 600, sim::Profile::cuts, 3);
}
TEST_CASE("canary: clean_if_any") {
    must_notice(Canary::clean_if_any, "clean_if_any", 40, sim::Profile::older);
}
TEST_CASE("canary: snapshot_of_any") {
    must_notice(Canary::snapshot_of_any, "snapshot_of_any", 40, sim::Profile::older);
}
TEST_CASE("canary: older_qlc_taken") {
    must_notice(Canary::older_qlc_taken, "older_qlc_taken", 40, sim::Profile::older);
}
TEST_CASE("canary: older_scm_taken") {
    must_notice(Canary::older_scm_taken, "older_scm_taken", 40, sim::Profile::older);
}
TEST_CASE("canary: older_tps_taken") {
    must_notice(Canary::older_tps_taken, "older_tps_taken", 40, sim::Profile::older);
}
TEST_CASE("canary: diverged_taken") {
    must_notice(Canary::diverged_taken, "diverged_taken", 20, sim::Profile::older);
}
TEST_CASE("canary: replaced_is_named") {
    must_notice(Canary::replaced_is_named, "replaced_is_named", 60, sim::Profile::away);
}

TEST_CASE("canary: replaced_before_forgotten") {
    must_notice(Canary::replaced_before_forgotten, "replaced_before_forgotten", 40,
                sim::Profile::away);
}

TEST_CASE("canary: scrub_sees_nothing") {
    must_notice(Canary::scrub_sees_nothing, "scrub_sees_nothing", 40, sim::Profile::media);
}
TEST_CASE("canary: rebuilt_unflushed") {
    must_notice(Canary::rebuilt_unflushed, "rebuilt_unflushed", 60, sim::Profile::away);
}
TEST_CASE("canary: rebuilt_over_remains") {
    must_notice(Canary::rebuilt_over_remains, "rebuilt_over_remains", 60, sim::Profile::away);
}
TEST_CASE("canary: removed_with_bands") {
    must_notice(Canary::removed_with_bands, "removed_with_bands", 60, sim::Profile::wide);
}

TEST_CASE("canary: freed_with_remains") {
    must_notice(Canary::freed_with_remains, "freed_with_remains", 60, sim::Profile::wide);
}
TEST_CASE("canary: drop_poison") {
    must_notice(Canary::drop_poison, "drop_poison", 60, sim::Profile::beyond);
}
TEST_CASE("canary: gap_ends_tps") {
    must_notice(Canary::gap_ends_tps, "gap_ends_tps", 20, sim::Profile::beyond);
}

}  // namespace qlcshape
