// SPDX-License-Identifier: Apache-2.0
// An open array of which a drive is replaced.
#pragma once

#include "core_array.h"

namespace qlcshape {

constexpr std::uint64_t kBlocks = 500;  // that are written

struct OpenArray : CoreArray {
    Bytes fresh = Bytes(Shape{}.drive_bytes);
    std::size_t number;  // of the old drive
    enum class Old { works, fails, missing };

    OpenArray(Old old, std::size_t replaced) : number(replaced) {
        const std::string path = options.devices[number].path;
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
        write_blocks(0, kBlocks, 7);
        if (old == Old::missing) {
            REQUIRE(close());
            away = {path};
            REQUIRE(open());
        }
        if (old == Old::fails) {
            power.fails = [path](const Io& io) { return io.device->path() == path; };
            write_blocks(0, kBlocks, 8);
            REQUIRE(core->stats().devices[number].state != "online");
        }
        write_blocks(0, kBlocks, 9);
    }
    ~OpenArray() {
        if (core) cut();
    }
    std::unique_ptr<Device> new_drive() { return std::make_unique<CoreDrive>("new", fresh, power); }
    const std::string& path() const { return options.devices[number].path; }
    std::string state() { return core->stats().devices[number].state; }
    // Whether it may come back, after so many looks.
    bool may_return(int looks = 10) {
        for (int i = 0; i < looks; ++i) {
            const auto paths = core->paths_to_return();
            if (std::ranges::find(paths, path()) != paths.end()) return true;
            poll();
        }
        return false;
    }
    void reopen() {
        away.clear();
        power.fails = nullptr;
        REQUIRE(open());
    }
    std::string uuid() { return core->stats().devices[number].uuid; }
    Status begin(bool force = false) { return begin_for(uuid(), force); }
    Status begin_for(const std::string& old, bool force = false) {
        return core->begin_replace(old, new_drive(), force);
    }
    Result<MemberRecord> finish() {
        while (!core->advance_replace()) poll();
        return core->finish_replace();
    }
    Result<MemberRecord> close_midway(int polls) {
        REQUIRE(begin());
        return end_midway(polls);
    }
    // Closes it after so many polls, and what comes of the replacement then.
    Result<MemberRecord> end_midway(int polls) {
        for (int i = 0; i < polls && !core->advance_replace(); ++i) poll();
        static_cast<void>(core->advance_close());
        for (int i = 0; !core->advance_replace(); ++i) {
            poll();
            REQUIRE(i < 1000);
        }
        auto replaced = core->finish_replace();
        CHECK((replaced || replaced.error().code == Errc::closed));
        REQUIRE(close());
        return replaced;
    }
    bool protected_by_two() {
        const Stats::Protection p = core->stats().protection;
        return p.none == 0 && p.one == 0;
    }
    void heal() {
        for (int i = 0; i < 100'000 && !protected_by_two(); ++i) poll();
        REQUIRE(protected_by_two());
    }
    bool reads_when_reopened(int value) {
        REQUIRE(close());
        swap();
        REQUIRE(open());
        return reads(0, kBlocks, value);
    }
    // The new drive is at the old one's path, as after a change of the array file.
    void swap() {
        std::swap(media[number], fresh);
        away.clear();
        power.fails = nullptr;
    }
};

}  // namespace qlcshape
