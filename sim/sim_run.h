// SPDX-License-Identifier: Apache-2.0
// One history of the whole engine under simulation: an array, load, power cuts at any event (also
// while recovering), faults as the profile says, clean closes, and after each of them every block
// compared with the oracle.
#pragma once

#include <cstdint>
#include <string>

#include "sim/coverage.h"
#include "sim/sim_counts.h"
#include "sim/sim_faults.h"
#include "sim/sim_state.h"

namespace qlcshape::sim {

struct RunCounts {
    std::uint64_t events = 0;
    std::uint64_t recoveries = 0;   // after a crash, that came through: everything compared
    StateCounts cycles_by_state{};  // of the recoveries
    std::uint64_t crashes = 0;      // power cuts, those while recovering included
    std::uint64_t crashes_in_recovery = 0;
    std::uint64_t kills = 0;        // the process died and the power stayed
    std::uint64_t longest_row = 0;  // of cuts, each during the recovery before it
    std::uint64_t clean_closes = 0;
    std::uint64_t judged = 0;                          // by check
    std::uint64_t stripes_judged = 0;                  // whether they have all redundancy
    std::uint64_t older_refused = 0, older_taken = 0;  // openings with members as they were before
    std::uint64_t degraded_opens = 0;
    std::uint64_t away_opens = 0;   // for writing, with drives missing
    std::uint64_t drives_left = 0;  // while the array was open
    std::uint64_t drives_replaced = 0, drives_replaced_open = 0, drives_spread = 0;
    std::uint64_t drives_drained = 0, drives_removed = 0;
    std::uint64_t scm_away = 0, scm_left = 0, scm_returned = 0;
    std::uint64_t scm_replaced = 0, scm_replaced_open = 0;
    std::uint64_t drives_returned_open = 0, scm_returned_open = 0;
    std::uint64_t scrubs = 0, strips_scrubbed = 0;      // passes that were judged; what they found
    std::uint64_t blocks_damaged = 0, blocks_lost = 0;  // beyond redundancy; reads of one, failed
    std::uint64_t mirrors_split = 0, refused = 0;       // damage on both mirrors, openings
    std::uint64_t drives_away = 0;  // times that three QLC or two SCM drives went
    std::uint64_t stops = 0;        // openings that a fault ended, by design
    std::uint64_t given_up = 0;     // drives that did not answer
    std::uint64_t operations = 0;
    std::uint64_t reads_inline = 0;  // of them, reads that asked no shard's thread
    std::uint64_t volumes_made = 0, volumes_deleted = 0, volumes_resized = 0;
    std::uint64_t bands_moved = 0, bands_rebuilt = 0;
    std::uint64_t snapshots = 0, snapshot_recoveries = 0, full_recoveries = 0;
    std::uint64_t verify_failed = 0, reconstructed = 0, commit_retries = 0;
    FaultCounts faults;
    Coverage coverage;

    void add(const RunCounts& other);
};

struct RunResult : RunCounts {
    std::string violation;  // empty: none
    std::uint64_t trace = 0;
};

// An array whose metadata is damaged at random: what its next openings make of it.
struct DamageResult : RunResult {
    std::string damage;  // what was done
    std::uint64_t opens = 0;
    std::uint64_t refusals = 0;       // an open said what is wrong
    std::uint64_t rebuilt = 0;        // an open built the table from headers
    std::uint64_t sectors_older = 0;  // older data where the damage excuses it
    std::uint64_t out_of_space = 0;   // stops, since the damage left GC nothing to gain
    std::uint64_t covered = 0;        // 1: nothing is excused but refusals and a new table

    void add(const DamageResult& other);
};

DamageResult run_damaged(std::uint64_t seed);

// `cycles`: openings of the array; under `loop` the cuts in a row. Under `sequences` a seed is the
// number of a sequence (sim_sequence.h). `aim`: where the power is cut rather than elsewhere.
RunResult run_history(std::uint64_t seed, std::uint32_t cycles, Profile profile = Profile::cuts,
                      PersistencePoint aim = PersistencePoint::none);
std::uint32_t usual_cycles(Profile profile);

}  // namespace qlcshape::sim
