// SPDX-License-Identifier: Apache-2.0
// Drives of an open array, by number. Null where one is missing. Any thread looks: another drive
// may come into a place at any time, so ask once. What was there before lives as long as the array
// is open.
#pragma once

#include <atomic>
#include <cstddef>
#include <initializer_list>
#include <ranges>
#include <vector>

#include "device/device.h"

namespace qlcshape {

class DriveList {
  public:
    DriveList() = default;
    DriveList(std::initializer_list<Device*> drives) {
        for (Device* drive : drives) push_back(drive);
    }

    // --- set-up, one thread ---
    void resize(std::size_t count) { places_.resize(count); }
    void push_back(Device* drive) { places_.emplace_back(drive); }

    // --- any thread ---
    std::size_t size() const { return places_.size(); }
    Device* operator[](std::size_t number) const { return places_[number].load(); }
    auto all() const { return std::views::transform(places_, &Place::load); }
    void set(std::size_t number, Device* drive) { places_[number].store(drive); }

  private:
    class Place {
      public:
        explicit Place(Device* drive = nullptr) : drive_(drive) {}
        Place(const Place& other) : drive_(other.load()) {}
        Place& operator=(const Place& other) {
            store(other.load());
            return *this;
        }
        Device* load() const { return drive_.load(std::memory_order_acquire); }
        void store(Device* drive) { drive_.store(drive, std::memory_order_release); }

      private:
        std::atomic<Device*> drive_;
    };
    std::vector<Place> places_;
};

}  // namespace qlcshape
