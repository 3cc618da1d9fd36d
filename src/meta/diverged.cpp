// SPDX-License-Identifier: Apache-2.0
#include "meta/diverged.h"

#include <algorithm>

#include "base/canary.h"
#include "meta/remedies.h"

namespace qlcshape {

namespace {

bool contradict(const SuperblockMark& a, const SuperblockMark& b) {
    const bool same_opening = a.epoch == b.epoch && a.epoch_key == b.epoch_key;
    return !same_opening && (a.generation == b.generation || a.epoch == b.epoch);
}

// The newest of each against all of the other's. Older ones are not compared with each other: an
// append that was cut off, and that nobody could read afterwards, may lie among them.
bool agree(const DriveHistory& a, const DriveHistory& b) {
    const auto fits = [](const SuperblockMark& newest, const DriveHistory& other) {
        return std::ranges::none_of(other.records, [&](const SuperblockMark& record) {
            return record.generation == newest.generation && contradict(record, newest);
        });
    };
    return !contradict(a.newest, b.newest) && fits(a.newest, b) && fits(b.newest, a);
}

}  // namespace

std::vector<std::size_t> diverged_drives(const std::vector<DriveHistory>& drives) {
    std::vector<std::size_t> diverged;
    if (drives.empty() || canary(Canary::diverged_taken)) return diverged;
    const auto supporters = [&](const DriveHistory& drive) {
        return std::ranges::count_if(drives,
                                     [&](const DriveHistory& d) { return agree(drive, d); });
    };
    const auto right = std::ranges::max_element(drives, {}, supporters);
    for (std::size_t i = 0; i < drives.size(); ++i) {
        if (!agree(*right, drives[i])) diverged.push_back(i);
    }
    return diverged;
}

Error diverged(const std::string& path, std::uint64_t generation) {
    return {Errc::stale_device,
            fmt::format("{}: it belongs to a copy of this array that was opened by itself: its "
                        "superblock of generation {} is not the one that the other drives know; "
                        "restore the array's own contents of this drive, or, if it is a qlc drive, "
                        "remove it from the array file: {}",
                        path, generation, kOpensWithout)};
}

// Which of two lives is the array's own nobody can tell. The one that more drives agree on is
// taken, so that a single drive of the other is named, and not all the others.
Status refuse_diverged(const std::vector<DriveHistory>& drives) {
    const auto found = diverged_drives(drives);
    if (found.empty()) return {};
    const DriveHistory& drive = drives[found.front()];
    return fail(diverged(drive.path, drive.newest.generation));
}

}  // namespace qlcshape
