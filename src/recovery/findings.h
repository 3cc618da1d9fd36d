// SPDX-License-Identifier: Apache-2.0
// What one thread of recovery found that came after the snapshot. All threads together may keep so
// much; where it is used up, what is superseded goes. Of what is in memory and what is in segments
// each the newest stays, for the two are weighed against each other. If that isn't enough the table
// is built from all headers, which needs no more memory than a pass.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "recovery/entry_scan.h"

namespace qlcshape {

class Findings {
  public:
    // The sequence of what is in memory and in no band.
    static constexpr std::uint64_t kInMemory = UINT64_MAX;

    // `room`: how many more all may keep.
    explicit Findings(std::atomic<std::size_t>& room) : room_(&room) {}

    void add(const Finding& found) {
        if (too_many_) return;
        if (list_.size() == most_) make_room();
        if (list_.size() == most_)
            too_many_ = true;
        else
            list_.push_back(found);
    }
    // There is hardly room, and what is there is not superseded: nothing more is kept.
    bool too_many() const { return too_many_; }
    std::vector<Finding>& list() { return list_; }

  private:
    void make_room();

    std::atomic<std::size_t>* room_;
    std::size_t most_ = 0;  // taken from the room
    bool too_many_ = false;
    std::vector<Finding> list_;
};

}  // namespace qlcshape
