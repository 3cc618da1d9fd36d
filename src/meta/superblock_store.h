// SPDX-License-Identifier: Apache-2.0
// Finds the superblocks of an array on its devices, and appends new ones. Every call blocks.
//
// A device has two reserved units; records are appended to one until it is full, then the other is
// discarded and used. QLC drives are written first, scm drives when those are durable, so that a
// cut never leaves all devices in the middle of a change of units.
//
//   unit 0   | 33 | 34 | 35 | next |  ...  |      generations; the newest whole record counts
//   unit 1   | 17 | 18 |    ...       | 32 |      discarded when it is used next, not before
//
// The unit with the newest record that all QLC drives that are in have is never discarded on one:
// by that record a drive is known that leaves, and an SCM drive may have it. Nor is that of an SCM
// drive's newest record that is in force, which all drives have. After a crash, or where anything
// lies after the newest record, the next one goes to the beginning of the other unit: a torn append
// may have written there, and nothing is written over it.
//
// Because of the order, a generation on an scm drive proves that every QLC drive had it. One that
// has not is older (standing_of()).
#pragma once

#include <bitset>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "device/device.h"
#include "device/io.h"
#include "format/superblock.h"
#include "meta/diverged.h"
#include "placement/array_context.h"

namespace qlcshape {

struct SuperblockPlace {
    std::uint32_t unit = 0;
    std::uint32_t slot = 0;
    bool fresh_unit = true;  // discard the unit first
};

struct MemberDevice {
    std::unique_ptr<Device> device;  // null: missing
    MemberRecord record;
    std::uint64_t unit_bytes = 0;
    SuperblockPlace next;         // of the next record
    std::uint32_t kept_unit = 0;  // of the record by which the drive is known
    // Whose place it takes, until its own first record is on all drives: one that does not take
    // that has never been a member.
    std::optional<MemberRecord> replaces{};
    // An SCM drive that has all that the others have since just now: its record goes first, for
    // once another SCM drive says that it is in it must say so itself.
    bool comes_in = false;
};

using MemberSet = std::bitset<kMaxMembers>;  // by place in the superblock's list

// A device that an array has to do without.
struct Unusable {
    std::string path;
    Error why;
    Uuid member{};  // whose superblock it has, where that is known
};

// What the devices say together.
struct Discovery {
    Superblock superblock;              // the newest
    std::vector<MemberDevice> members;  // all of them, in the order of the superblock
    SuperblockMark on_scm;  // the newest on an scm drive: every QLC drive that is in has had it
    std::vector<Unusable> kept_out;  // drives that are there, and stay out: no member's device
};

// Why a drive that an operator took out is not used.
Unusable kept_out(const std::string& path, const MemberRecord& member);

// Flushes all devices that may be written, so that what is read from now on is durable, and sorts
// them into the members of one array. Refuses strangers, stale members, doubles, damaged
// superblocks, and arrays of which too much is missing; the error names the device. `absent` names
// those that can't be used, for messages. Takes the devices where it succeeds.
Result<Discovery> discover(std::vector<std::unique_ptr<Device>>&& devices,
                           const std::vector<Unusable>& absent, IoQueue& queue);

// The same, without drives that fail meanwhile.
Result<Discovery> discover_usable(std::vector<std::unique_ptr<Device>> devices,
                                  std::vector<Unusable> absent, IoQueue& queue);

// Those that failed just now come from `devices` to `absent`, for another attempt without them.
// False: there is none, or nothing may be tried again.
bool leave_out_unwilling(std::vector<std::unique_ptr<Device>>& devices,
                         std::vector<Unusable>& absent);

// Of each device its newest whole superblock, and which member it says that it is. Refuses nothing:
// for a look at arrays that may be damaged or open elsewhere. `hint`: of drives of an array that is
// known, where its superblocks lie; the drives may be too few to tell.
struct SeenSuperblock {
    Superblock superblock;
    Uuid device;
    // What may be a newer record lies where one would be, and is damaged. So the drive is not
    // taken for older than the others, which it would be by the whole ones alone.
    bool newer_damaged = false;
    std::vector<SuperblockMark> records;  // all of its array
};
std::vector<Result<SeenSuperblock>> see_superblocks(
    const std::vector<std::unique_ptr<Device>>& devices, IoQueue& queue,
    std::optional<ArrayLayout> hint = {});

struct SeenDrive {
    Device* device = nullptr;
    const SeenSuperblock* seen = nullptr;
};
// What drives of one array remember, for diverged_drives(). Records are read again, whole, where
// one contradicts another: one that a power cut tore never counted.
std::vector<DriveHistory> histories_of(const std::vector<SeenDrive>& drives, IoQueue& queue);

// A drive by itself: it is a member that is out by the newest superblock, and holds what it held
// when it left. Flushes it first.
struct Returned {
    MemberDevice member;
    std::uint64_t generation = 0;  // of the newest record on it
};
Result<Returned> see_returned(std::unique_ptr<Device> device, const Superblock& newest,
                              IoQueue& queue);

// The array as the newest superblock describes it. The devices stay the discovery's.
ArrayContext context_of(const Discovery& discovery);

// The next record of every member that is there and in, with the next generation. All memory that
// it takes is taken when it is made: until write() nothing has changed, on no drive and in no
// argument.
class SuperblockAppend {
  public:
    SuperblockAppend(const Superblock& superblock, const std::vector<MemberDevice>& members);

    // Once, with the arguments as they were. After an error it is not known which drives have it.
    Status write(Superblock& superblock, std::vector<MemberDevice>& members, IoQueue& queue);
    // Then: watched drives that did not take it. Only where all others can take the next one.
    MemberSet refused_by() const;
    // Then, too: every QLC drive that is in has it, for an SCM drive may.
    bool on_qlc() const { return on_qlc_; }

  private:
    void add(const MemberDevice& member, std::uint64_t unit, std::uint64_t at, bool fresh_unit,
             const ArrayLayout& layout);

    struct Transfers {
        std::vector<Io> discards, writes, flushes;
    };
    // Whether a member gets the record: it is there, and in.
    bool takes_part(const std::vector<MemberDevice>& members, std::size_t i) const {
        return members[i].device != nullptr && next_.members[i].state == MemberState::in;
    }
    Status write(Transfers& transfers, DeviceRole role, std::vector<MemberDevice>& members,
                 IoQueue& queue);
    void keep(DeviceRole role, std::vector<MemberDevice>& members) const;
    bool on_qlc_ = false;
    Superblock next_;
    std::vector<Device*> drives_;          // by member
    std::vector<SuperblockPlace> places_;  // of the record after this one, by member
    std::vector<Buffer> records_;
    Transfers qlc_, scm_coming_, scm_;
};

// Both at once.
// Which array is meant, if a path leads to a drive of another one: most drives decide. None where
// no drive says anything.
std::optional<Uuid> most_frequent_array(std::span<const Result<SeenSuperblock>> seen);

// Marks a drive that is to take the place of the member whose record it has, so that one that was
// cut off in that is known as such: where its first superblock goes there is this one, by which it
// is a drive with the array's UUID, which no member has. What it holds otherwise is void. Blocks.
Status claim_drive(const Superblock& superblock, const MemberDevice& drive, IoQueue& queue);
inline bool is_claimed(const SeenSuperblock& seen) { return seen.device == seen.superblock.array; }

Status append_superblock(Superblock& superblock, std::vector<MemberDevice>& members,
                         IoQueue& queue);

}  // namespace qlcshape
