// SPDX-License-Identifier: Apache-2.0
// Commits what only the TPS holds (or a segment that lost strips) to segments of its own, before
// anything is served: afterwards the TPS is not needed any more. Every call blocks.
//
// Versions stay, so of a block that is in the TPS and in a segment either copy will do. Bands are
// of the user stream and of the epoch about to begin: void until its superblock is durable. They
// may take recovery's own reserve (SpaceGate::set_recovering), sized for all RAM segments of all
// shards and GC threads. A recovery that is cut off leaves them to be erased by the next one, so
// the reserve lasts for any number in a row.
#pragma once

#include <memory>
#include <vector>

#include "base/error.h"
#include "meta/keeper.h"
#include "segment/committer.h"

namespace qlcshape {

class Replay {
  public:
    // `array.epoch` is the epoch that is about to begin.
    Replay(const ArrayContext& array, BandTable& bands, BandKeeper& keeper, IoQueue& queue,
           Counters& counters);

    ~Replay();  // waits for what is in flight: drives read from memory_

    Status append(const Entry& entry, const std::byte* data);
    Status append(const Tombstone& tombstone);
    Status finish();
    std::uint64_t blocks() const { return blocks_; }

  private:
    Status commit();

    const ArrayContext& array_;
    BandTable& bands_;
    BandKeeper& keeper_;
    IoQueue& queue_;
    Committer committer_;
    Buffer memory_;
    SegmentBuffer segment_;
    std::uint64_t blocks_ = 0;
    bool settled_ = false;
};

}  // namespace qlcshape
