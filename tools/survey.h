// SPDX-License-Identifier: Apache-2.0
// Which arrays devices belong to, by their superblocks, without an array file. Only reads.
#pragma once

#include <string>
#include <vector>

#include "format/superblock.h"
#include "tools/candidates.h"

namespace qlcshape::tools {

struct SurveyedDevice {
    Candidate candidate;
    std::uint64_t bytes = 0;
    std::string why;  // unreadable or damaged: why; foreign: empty
};

// A member's place in its array, and the devices that claim it: one if all is well.
struct SurveyedMember {
    MemberRecord record;
    std::vector<SurveyedDevice> devices;
    // The array is not opened with such a one.
    bool older = false;     // than the others
    bool diverged = false;  // of a copy of the array that was opened by itself
    bool cut_short = false;

    bool failed() const { return record.kept_out != 0; }  // by an operator
    bool removed() const { return record.kept_out == MemberRecord::kRemoved; }
    bool usable() const {
        return devices.size() == 1 && !older && !diverged && !cut_short && !failed();
    }
    // "missing", or what is wrong with the one device that claims it.
    const char* fault() const;
};

struct SurveyedArray {
    Superblock superblock;                // the newest
    std::vector<SurveyedMember> members;  // qlc first, by their index
    std::vector<SurveyedDevice> left;     // no longer members
    bool held = false;                    // a process has it open for writing

    std::string state() const;  // "open", "clean", "crashed"
    // "": complete; otherwise what is wrong and what it means.
    std::string problem() const;
};

struct Survey {
    std::vector<SurveyedArray> arrays;
    std::vector<SurveyedDevice> damaged;  // there was a superblock, and it can't be used
    std::vector<SurveyedDevice> unreadable;
    std::vector<SurveyedDevice> foreign;  // none; of files only those that were named
};

Survey survey(const std::vector<Candidate>& candidates);

}  // namespace qlcshape::tools
