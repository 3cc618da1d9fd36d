// SPDX-License-Identifier: Apache-2.0
// The place of a drive in an open array. Null where it is missing. Any thread looks: another drive
// may come into it at any time, so ask once. What was there before lives as long as the array is
// open.
#pragma once

#include <atomic>

#include "device/device.h"

namespace qlcshape {

class DriveSlot {
  public:
    DriveSlot(Device* drive = nullptr) : drive_(drive) {}
    DriveSlot(const DriveSlot& other) : drive_(other.get()) {}
    DriveSlot& operator=(const DriveSlot& other) {
        drive_.store(other.get(), std::memory_order_release);
        return *this;
    }
    operator Device*() const { return get(); }
    Device* operator->() const { return get(); }

  private:
    Device* get() const { return drive_.load(std::memory_order_acquire); }
    std::atomic<Device*> drive_;
};

}  // namespace qlcshape
