// SPDX-License-Identifier: Apache-2.0
// Whether a block that was not right when a user read it is damaged, or was only read wrongly for a
// moment. A band with damage is marked, and GC moves it, as if the scrub had come by.
//
//   read once more   right           no damage
//                    wrong           damage
//                    can't be read   the drive is asked for a block that it has always had: one
//                                    that can't read that either is away, and has no damage
//
// One at a time, on the queue's thread.
#pragma once

#include <functional>

#include "band/band_table.h"
#include "base/buffer.h"
#include "format/pmt_page.h"
#include "placement/array_context.h"

namespace qlcshape {

class DamageCheck {
  public:
    // A drive that is wrong everywhere must not have all bands moved at once, to itself again.
    static constexpr std::uint32_t kBandsAtOnce = 8;

    DamageCheck(const ArrayContext& array, BandTable& bands, IoQueue& queue)
        : array_(array), bands_(bands), queue_(queue), block_(kBlockBytes) {}

    // Whether it is worth a look, after that transfer. Where it has no drive there is none.
    bool wanted(const Io& transfer) const;
    // `done` from IoQueue::poll().
    void begin(Pba pba, PmtEntry expected, std::function<void()> done);

  private:
    void submit(void (DamageCheck::*then)());
    void looked();
    void probed();
    void mark();
    void end();

    const ArrayContext& array_;
    BandTable& bands_;
    IoQueue& queue_;
    Buffer block_;
    Io io_;
    void (DamageCheck::*then_)() = nullptr;
    BandId band_;
    std::uint64_t sequence_ = 0;  // the band's
    std::uint32_t drive_ = 0;
    PmtEntry expected_;
    std::function<void()> done_;
};

}  // namespace qlcshape
