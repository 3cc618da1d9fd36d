// SPDX-License-Identifier: Apache-2.0
// Takes full segments to the QLC drives: a place in the stream's band, header, P and Q, a strip
// write for each column of the band in its order, flush, and the wait for all earlier segments of
// the band. A segment whose write failed goes to another band. One Committer a thread; bands are
// shared.
//
// A crash between any two steps leaves a segment that recovery proves whole or discards:
// docs/write_path.md, Commit. The steps (SegmentBuffer::Step):
//
//   commit() -> placing -> turn -> writing -> written -> flushing -> settling -> durable()
//                  ^         |        |                     |           |
//                  +---------+--------+---------------------+-----------+   replace()
//
// `written` and `flushing` are for drives with a volatile cache; others go on to `settling`.
// replace(): a strip of this segment, or of one before it in the band, could not be written or
// flushed. The band ends there; the segment gets a place in another one.
//
// Whoever has a place owes the band its turn: it submits, or passes on a place that became void.
// Places are in the order of segment numbers and QLC drives take strips at the write position
// only, so a place that is never submitted would stop everyone behind it, on all threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "band/band_table.h"
#include "base/counters.h"
#include "base/fifo.h"
#include "segment/segment_buffer.h"

namespace qlcshape {

class Committer {
  public:
    // `writer`: the shard's number, or kNoShard for GC and recovery.
    static constexpr std::uint8_t kNoShard = 255;
    Committer(const ArrayContext& array, BandTable& bands, Stream stream, std::uint8_t writer,
              IoQueue& queue, Counters& counters);

    // `segment` is filled and finished. `durable` is called with it from poll(), in any order.
    void commit(SegmentBuffer& segment);
    std::function<void(SegmentBuffer&)> durable;

    bool poll();
    bool idle() const { return active_.empty(); }
    // Nothing is on the way: segments wait for a place, or for others in their band. For
    // SpaceGate::standstill(): those others are someone's who doesn't rest.
    bool rests() const;
    // A segment could not be written anywhere: the drives fail faster than bands can be found.
    bool failed() const { return failed_; }

  private:
    static constexpr std::uint32_t kAttempts = 8;

    bool step(SegmentBuffer& segment);
    void note_drives(SegmentBuffer& segment);
    void encode(SegmentBuffer& segment);
    void write(SegmentBuffer& segment);
    void written(SegmentBuffer& segment);
    void replace(SegmentBuffer& segment);
    void place_again(SegmentBuffer& segment);
    void give_up(const SegmentBuffer& segment);
    void count(const SegmentBuffer& segment);
    bool flush();
    bool round_ended();
    void end_round();
    void start_flush();
    // On all drives, of all threads. A drive whose flush failed may have dropped anything that was
    // in its cache, whoever wrote it.
    std::uint64_t failed_flushes() const;
    bool must_flush() const;

    const ArrayContext& array_;
    BandTable& bands_;
    const Stream stream_;
    const std::uint8_t writer_;
    IoQueue& queue_;
    Counters& counters_;
    const PersistencePoint write_point_;
    const PersistencePoint flush_point_;
    std::vector<SegmentBuffer*> active_;  // in the order of commit()
    std::vector<Io> flushes_;
    std::uint32_t flushes_pending_ = 0;
    enum class Round : std::uint8_t { none, own, others } round_ = Round::none;
    OtherFlushes others_;
    Device* flush_refused_by_ = nullptr;  // one whose flush failed in this round
    bool failed_ = false;
};

}  // namespace qlcshape
