// SPDX-License-Identifier: Apache-2.0
// Members of two lives of one array: a copy of all its drives was opened, the array itself too, and
// now a drive of one lies among those of the other. Their generations and epochs may be the same.
// But each opening draws a key, which is in every superblock of its epoch, and a drive keeps the
// superblocks before its newest one:
//
//   the array  | 8 key a | 9 key a | 10 key b | 11 key b |     opened once more
//   the copy   | 8 key a | 9 key a | 10 key c |                likewise: at 10 they differ
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace qlcshape {

struct SuperblockMark {
    std::uint64_t generation = 0;
    std::uint64_t epoch = 0;
    std::uint64_t epoch_key = 0;
    std::uint64_t offset = 0;  // where it lies on its drive
};

struct DriveHistory {
    std::string path;
    SuperblockMark newest;
    std::vector<SuperblockMark> records;  // all of this array that are on it, torn ones too
};

// Those that most of the others contradict, by their place in `drives`.
std::vector<std::size_t> diverged_drives(const std::vector<DriveHistory>& drives);

// The refusal of a drive whose newest record is of that generation.
Error diverged(const std::string& path, std::uint64_t generation);

// stale_device, which names a drive that most of the others contradict. A record that a power cut
// tore never counted, and its generation is given again: that contradicts nobody.
Status refuse_diverged(const std::vector<DriveHistory>& drives);

}  // namespace qlcshape
