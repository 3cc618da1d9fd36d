// SPDX-License-Identifier: Apache-2.0
// Makes an array on devices: every check first, then band table, empty bitmap of the PMT, and the
// superblocks last.
//
//   check everything           nothing was written
//   old superblocks erased     a cut from here on leaves neither the old array nor a new one
//   band table, bitmap, flush  the same
//   superblocks                QLC drives, then SCM drives. Until all are whole it does not open
//
// Snapshots and TPS are not written: what lies there has another UUID, and is void by that. Nor is
// the PMT: no bit is set.
#pragma once

#include <memory>
#include <vector>

#include "base/random.h"
#include "device/device.h"
#include "engine/made_files.h"
#include "meta/superblock_store.h"
#include "qlcshape/options.h"

namespace qlcshape {

// Whether the options can work, before a file is made for them. Where a device's size is not given
// it is format_array() that tells.
Status check_plan(const Options& options);

// `devices` in the order of options.devices. Every call blocks.
Status format_array(const Options& options, std::vector<std::unique_ptr<Device>>& devices,
                    bool force, Random& random, IoQueue& queue);

// Refuses a QLC device whose indirection unit strips would not fill.
Status check_iu(const std::string& path, const Geometry& geometry, std::uint64_t strip_bytes);
// Refuses a device on which there is anything.
Status check_empty(Device& device, IoQueue& queue);
// So that the drive belongs to no array, and takes writes anywhere.
Status erase_drive(const MemberDevice& member, const ArrayLayout& layout, IoQueue& queue);
MemberRecord new_member(const ArrayParameters& parameters, DeviceRole role, std::uint16_t index,
                        const Device& device, Random& random);

inline Access access_of(const Options& options) {
    return options.read_only ? Access::read_only : Access::read_write;
}

// Opens the devices that the options name. Where `absent` is not null a device that isn't there, or
// that has failed so that it can't be opened, is passed over and named in it.
Result<std::vector<std::unique_ptr<Device>>> open_devices(const Options& options, Access access,
                                                          std::vector<Unusable>* absent);
// For format_array(): those that aren't there are made.
Result<std::vector<std::unique_ptr<Device>>> make_devices(const Options& options, MadeFiles& made);

}  // namespace qlcshape
