// SPDX-License-Identifier: Apache-2.0
// A drive that is lost, or is to go, and an empty one in its place; of an array that was closed
// cleanly (of an open one: core_replace.cpp). For a QLC drive nothing is copied: bands lose the
// column that the old drive had, and the next opening begins to rewrite those that have too few. An
// SCM drive gets a copy of what the others have.
//
//   on media, in order of time               a cut here, and what the next opening finds
//   --------------------------------------   -----------------------------------------------------
//   superblock on all others: old is out     the array without it; it is taken back if it is there
//   band table: no band that counts has a    likewise: what no band names any more is erased on it
//   column on it
//   the new drive is erased; an SCM drive    likewise
//   is filled (meta/resilver.h)
//   superblock on all, with the new member   on some QLC drives: likewise. On an scm drive: the new
//   in the place of the old one              drive is a member, and holds nothing
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/uuid.h"
#include "device/device.h"
#include "device/io.h"
#include "meta/superblock_store.h"
#include "qlcshape/engine.h"

namespace qlcshape {

struct Replacement {
    std::vector<std::unique_ptr<Device>> devices;  // of the array, with the old drive or without
    std::vector<Unusable> absent;                  // those that are not there, for messages
    std::optional<Uuid> old;  // none: the one drive of `role` that is not among `devices`
    DeviceRole role = DeviceRole::qlc;
    std::unique_ptr<Device> fresh;
    bool force = false;  // destroys what is on `fresh`
    Progress progress{};
};

// Refuses a drive that is too small, or whose indirection unit strips would not fill.
Status check_fresh(const Device& fresh, DeviceRole role, const ArrayParameters& parameters);

// Blocks. Until every check has passed nothing is written. Returns the new drive.
Result<MemberRecord> replace_drive(Replacement replacement, Random& random, IoQueue& queue);

Engine::Replaced replaced_of(const MemberRecord& drive);

// The same for a closed array, as Engine::replace_device() tells.
Result<Engine::Replaced> replace_device(const Options& options, const std::string& old,
                                        const DeviceOptions& fresh, bool force, Random& random);

}  // namespace qlcshape
