// SPDX-License-Identifier: Apache-2.0
// What drives say of each other: who has a voice, and what a drive that comes back has missed.
#include "meta/membership.h"

#include <catch2/catch.hpp>
#include <set>

#include "base/random.h"

using namespace qlcshape;

namespace {

// Four QLC drives and two SCM drives, all with generation 10 of epoch 3.
struct Drives {
    std::vector<SeenSuperblock> seen;

    Drives() {
        Random random(7);
        Superblock s;
        s.parameters.data_strips = 2;
        s.parameters.qlc_count = 4;
        s.epoch = s.epoch_key = 3;
        s.generation = 10;
        s.complete_generation = 9;
        for (std::uint16_t i = 0; i < 6; ++i) {
            const bool qlc = i < 4;
            MemberRecord m = make_member(s.parameters, qlc ? DeviceRole::qlc : DeviceRole::scm,
                                         static_cast<std::uint16_t>(qlc ? i : i - 4));
            m.uuid = Uuid::random(random);
            s.members.push_back(m);
        }
        seen.resize(6);
        for (std::size_t i = 0; i < 6; ++i) {
            seen[i].superblock = s;
            seen[i].device = s.members[i].uuid;
            seen[i].records = {{10, 3, 3, 0}};
        }
    }
    Superblock newest(const std::set<std::size_t>& without = {}) const {
        std::vector<const SeenSuperblock*> all;
        for (std::size_t i = 0; i < seen.size(); ++i) {
            if (!without.contains(i)) all.push_back(&seen[i]);
        }
        return newest_superblock(all);
    }
    // On all of these drives, with that member out.
    void write(const std::set<std::size_t>& on, std::uint64_t generation, std::size_t out,
               std::uint64_t key) {
        Superblock s = seen[4].superblock;
        s.members[out].state = MemberState::out;
        s.members[out].in_sync = {s.epoch, s.generation};
        s.members[out].left_key = s.epoch_key;
        s.members[out].left_at = s.generation;
        s.complete_generation = s.generation;
        s.generation = generation;
        s.epoch = s.epoch_key = key;
        for (const std::size_t i : on) {
            seen[i].superblock = s;
            seen[i].records.push_back({generation, s.epoch, key, 0});
        }
    }
    Standing standing(std::size_t member) const {
        const Superblock s = newest();
        std::vector<const SeenSuperblock*> all;
        for (const SeenSuperblock& one : seen) all.push_back(&one);
        return standing_of(s, s.members[member], seen[member],
                           newest_due(s, all, s.members[member]));
    }
};

}  // namespace

TEST_CASE("membership: a drive that is out has no voice") {
    Drives d;
    // Drive 1 took part in an opening that was cut off before anyone else knew of it.
    d.write({1}, 12, 0, 4);
    d.write({0, 2, 3, 4, 5}, 11, 1, 5);
    const Superblock s = d.newest();
    CHECK(s.generation == 11);
    CHECK(s.epoch == 5);
    CHECK(s.members[1].state == MemberState::out);
    CHECK(s.members[0].state == MemberState::in);
    CHECK(d.standing(1) == Standing::out);
}

TEST_CASE("membership: a record that no scm drive has changes nobody's state") {
    Drives d;
    d.write({0, 2, 3, 4, 5}, 11, 1, 4);
    // The next opening takes drive 1 in again, and is cut off.
    for (const std::size_t i : {0u, 2u}) {
        Superblock& s = d.seen[i].superblock;
        s.members[1].state = MemberState::in;
        s.members[1].in_sync = {};
        s.members[1].left_at = 0;
        s.complete_generation = 11;
        s.generation = 12;
    }
    CHECK(d.newest().generation == 12);
    CHECK(d.newest().members[1].state == MemberState::out);
    CHECK(d.standing(1) == Standing::out);
}

TEST_CASE("membership: a clean close counts if all that are in say so") {
    Drives d;
    for (SeenSuperblock& s : d.seen) s.superblock.state = ArrayState::clean;
    CHECK(d.newest().state == ArrayState::clean);
    d.write({0, 2, 3, 4, 5}, 11, 1, 4);
    CHECK(d.newest().state == ArrayState::clean);
    CHECK(d.newest({2}).state == ArrayState::clean);
    d.write({0, 3, 4, 5}, 12, 1, 4);
    CHECK(d.newest().state == ArrayState::open);
    CHECK(d.newest({2}).state == ArrayState::clean);
}

TEST_CASE("membership: a drive whose place was taken has no say in whether it was closed cleanly") {
    Drives d;
    for (SeenSuperblock& s : d.seen) s.superblock.state = ArrayState::clean;
    d.seen[1].superblock.generation = 9;
    CHECK(d.newest().state == ArrayState::open);
    for (SeenSuperblock& s : d.seen) s.superblock.members[1].uuid.bytes[0] ^= 0xff;
    CHECK(d.newest().state == ArrayState::clean);
}

TEST_CASE("membership: a drive that comes back as it was before it left is older") {
    Drives d;
    d.write({0, 2, 3, 4, 5}, 11, 1, 4);
    CHECK(d.standing(1) == Standing::out);
    d.seen[1].superblock.generation = 9;
    CHECK(d.standing(1) == Standing::older);
}

TEST_CASE("membership: a drive is not older than a record that never came into force") {
    Drives d;
    // That drive 1 is out came to one scm drive only.
    d.write({0, 2, 3, 4}, 11, 1, 4);
    CHECK(d.standing(1) == Standing::out);
    // An opening without that one was cut off before the other one had a record of it.
    Superblock& s = d.seen[0].superblock;
    s.generation = 12;
    s.complete_generation = 9;
    s.members[1] = d.seen[5].superblock.members[1];
    s.members[4].state = MemberState::out;
    CHECK(d.newest().generation == 12);
    CHECK(d.newest().members[1].state == MemberState::in);
    CHECK(d.standing(1) == Standing::current);
    d.seen[1].superblock.generation = 9;
    CHECK(d.standing(1) == Standing::older);
}

TEST_CASE(
    "membership: a drive of a copy that was opened by itself is not taken for one that left") {
    Drives d;
    d.write({0, 2, 3, 4, 5}, 11, 1, 4);
    d.seen[1].superblock.epoch_key = 8;  // as new, and of another life
    d.seen[1].records = {{10, 3, 8, 0}};
    CHECK(d.standing(1) == Standing::diverged);
}

TEST_CASE("membership: a drive that went on by itself is told from one that was cut off") {
    Drives d;
    d.write({0, 2, 3, 4, 5}, 11, 1, 4);
    Superblock& s = d.seen[1].superblock;
    s.epoch = s.epoch_key = 9;
    s.generation = 13;
    s.complete_generation = 12;
    d.seen[1].records = {{10, 3, 3, 0}, {13, 9, 9, 0}};
    CHECK(d.standing(1) == Standing::out);  // an opening that began, and nobody else has it
    d.seen[1].records.push_back({12, 9, 9, 0});
    CHECK(d.standing(1) == Standing::diverged);  // it says itself that its first record was whole
}

TEST_CASE("membership: who is missing is out from now on, who is there is in") {
    Drives d;
    Superblock s = d.newest();
    std::vector<MemberDevice> members(6);
    for (std::size_t i = 0; i < 6; ++i) {
        members[i].record = s.members[i];
        if (i == 1) continue;
        members[i].device =
            *open_device("memory:member_" + std::to_string(i), 4096 * 16, Access::read_write, true);
    }
    CHECK(take_stock(s, members, {10, 3, 3, 0}));
    CHECK(s.members[1].state == MemberState::out);
    CHECK(s.members[1].in_sync == MembershipNumber{3, 10});
    CHECK(s.members[1].left_at == 10);
    s.generation = 20;
    CHECK_FALSE(take_stock(s, members, {20, 3, 3, 0}));
    CHECK(s.members[1].left_at == 10);  // as when it left
    members[1].device = std::move(members[2].device);
    CHECK(take_stock(s, members, {20, 3, 3, 0}));
    CHECK(s.members[1].state == MemberState::in);
    CHECK(s.members[1].left_at == 0);
    CHECK(s.members[2].left_at == 20);
    CHECK(members[2].record.state == MemberState::out);
    members.clear();
    for (int i = 0; i < 6; ++i) forget_memory_device("memory:member_" + std::to_string(i));
}
