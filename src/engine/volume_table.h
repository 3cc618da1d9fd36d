// SPDX-License-Identifier: Apache-2.0
// The volumes of an array: names, sizes, and which LBAs belong to them. Pure bookkeeping on the
// superblock's lists; making a change durable is the caller's.
//
//   volumes   a: first_extent 0, extents 1    b: first_extent 1, extents 2
//   extents   {0, 3}                          {3, 2} {7, 2}                   page, pages
//
// Byte 10 MiB of b is in its sixth page of 2 MiB: past its four pages, so refused. Byte 5 MiB is in
// the third: page 7, and LBA 7 x 512 + 256.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/uuid.h"
#include "format/superblock.h"

namespace qlcshape {

using Extents = std::vector<VolumeExtent>;

// A volume in use: what a handle leads to. Requests enter and leave it on any thread; whoever
// changes it holds the core's control mutex.
//
// After a change every new request meets the new state, and drained() says when those that may
// have met the old one have ended. For that they are counted on two sides, and a change turns new
// ones to the other side. One change at a time, from turn() until drained().
//
//   change                        requests           side 0   side 1
//                                 a, b enter         a b
//   set_bytes(smaller)
//                                 c enters           a b c             sees the new size already
//   turn()
//                                 d enters           a b c    d        sees the new size
//   drained()? no                 a, b, c leave               d
//   drained()? yes: no request can write past the new end any more. d is not waited for, so a
//                   stream of requests can't keep a change from ending
//
// The state changes before the turn: in the other order d could see the old one.
class VolumeState {
  public:
    VolumeState(class Core& owner, std::string volume_name, Uuid id, std::uint64_t size,
                Extents runs)
        : core(owner),
          name(std::move(volume_name)),
          uuid(id),
          bytes_(size),
          extents_(std::make_unique<Extents>(std::move(runs))),
          in_use_(extents_.get()) {}

    std::uint64_t bytes() const { return bytes_.load(); }

    // The array's block for a byte of the volume.
    Lba lba_of(std::uint64_t offset_bytes) const {
        const Extents& extents = *in_use_.load(std::memory_order_acquire);
        std::uint64_t page = offset_bytes / kPageSpanBytes;
        std::size_t i = 0;
        while (page >= extents[i].pages) page -= extents[i++].pages;
        return Lba((extents[i].first_page + page) * kPageEntries +
                   offset_bytes % kPageSpanBytes / kBlockBytes);
    }

    // --- requests ---
    // Returns the side, which leave() wants.
    std::uint32_t enter() {
        for (;;) {
            const std::uint32_t side = side_.load();
            in_flight_[side].fetch_add(1);
            // Turned in between, a request could meet the old state and not be waited for.
            if (side_.load() == side) return side;
            in_flight_[side].fetch_sub(1);
        }
    }
    void leave(std::uint32_t side) { in_flight_[side].fetch_sub(1); }

    // --- changes ---
    const Extents& extents() const { return *extents_; }
    void set_bytes(std::uint64_t bytes) { bytes_.store(bytes); }
    // The old list goes when the next one comes, so only after requests that use it have ended.
    void set_extents(std::unique_ptr<Extents> next) {
        in_use_.store(next.get(), std::memory_order_release);
        old_extents_ = std::move(extents_);
        extents_ = std::move(next);
    }
    void turn() { side_.store(side_.load() ^ 1); }
    bool drained() const { return in_flight_[side_.load() ^ 1].load() == 0; }
    bool idle() const { return in_flight_[0].load() == 0 && in_flight_[1].load() == 0; }

    class Core& core;
    const std::string name;
    const Uuid uuid;
    std::atomic<bool> deleted{false};
    bool changing = false;
    std::string device;  // a block device that it is offered as

  private:
    std::atomic<std::uint64_t> bytes_;
    std::unique_ptr<Extents> extents_, old_extents_;
    std::atomic<const Extents*> in_use_;
    std::atomic<std::uint32_t> side_{0};
    std::array<std::atomic<std::uint32_t>, 2> in_flight_{};
};

// Adds a volume to the lists; on an error they are as before.
Status add_volume(Superblock& superblock, const ArrayLayout& layout, const std::string& name,
                  std::uint64_t bytes, const Uuid& uuid);
// Gives it another size: more extents after those it has, or fewer.
Status resize_volume(Superblock& superblock, const ArrayLayout& layout, const std::string& name,
                     std::uint64_t bytes);
Extents extents_of(const Superblock& superblock, const VolumeRecord& volume);
Status remove_volume(Superblock& superblock, const Uuid& uuid);
// Deleted ones have no name any more; they still have the space that they were promised.
const VolumeRecord* find_volume(const Superblock& superblock, const std::string& name);
std::uint64_t promised_bytes(const Superblock& superblock);

}  // namespace qlcshape
