// SPDX-License-Identifier: Apache-2.0
// What is wrong with an array and what it means, in words for operators. The worst reason counts:
//
//   ok            nothing is wrong
//   degraded      redundancy is used: a qlc drive is missing or fails, bands are out of use
//   unprotected   one more failure may lose data: two qlc drives faulty, or a single scm drive
//   failed        it takes no writes and needs someone: writing has ended, or it does not open
#pragma once

#include <string>

#include "qlcshape/stats.h"

namespace qlcshape {

// What helps where blocks can't be read, by what is known of the drives.
std::string remedy_of_loss(const Stats& stats);

// Fills `health` and `health_reasons` from the other fields. Reasons that are there stay.
void assess_health(Stats& stats);

// `stats` is worse than its other fields tell: the array can't be opened, and this is why.
void add_failure(Stats& stats, const std::string& reason);

// "DEGRADED, read-only: qlc drive 2 is missing (qlc2.img)"; "CRASHED: ..." of an array that nobody
// has open since a crash. Empty where nothing is wrong.
std::string headline(const Stats& stats);

}  // namespace qlcshape
