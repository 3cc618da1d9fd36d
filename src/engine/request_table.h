// SPDX-License-Identifier: Apache-2.0
// Requests in flight: each is cut into pieces of one PMT page (one shard) and a few pieces are
// under way at once, so a request of any length takes a fixed amount of memory. Any thread begins
// requests; the shards' threads end their pieces.
//
//   read of [1 MiB, 11 MiB):   [1,2) [2,4) [4,6) [6,8) [8,10) [10,11)
//                                0     1     2     3     4      5
//   begun at once                x     x     x     x
//   begun by the end of one                                x      x
//
// Whoever ends a piece begins the next one, on that shard's thread; whoever ends the last, ends the
// request and calls `done`. After a piece that failed no more are begun.
//
//   write_zeroes of [2 KiB, 70 KiB): whole blocks [4, 68) trimmed; [2, 4) and [68, 70) written
//   write_zeroes of [2 KiB, 60 KiB): one atomic write of zeroes, since 58 KiB are not too much
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/histogram.h"
#include "engine/volume_table.h"
#include "placement/array_context.h"
#include "qlcshape/volume.h"
#include "shard/shard.h"

namespace qlcshape {

// All memory is taken at open. Where every place is taken begin() returns `busy`, and the caller
// tries again when one of its requests has ended: nothing is queued without a limit.
class RequestTable {
  public:
    RequestTable(const ArrayContext& array, const SpaceGate& gate, std::vector<Shard*> shards,
                 std::uint32_t most, Clock& clock, std::atomic<std::uint32_t>& in_flight);

    // Takes the request or tells why not; see Volume::submit(). The caller has counted it in
    // `in_flight`; once it is taken its end takes it off there, as the last thing.
    Status begin(VolumeState& volume, Request request);

    // Ends all that are in flight with an error that tells why. Nobody may move their pieces any
    // more, now or later; any thread may still begin some, which the next call ends.
    void end_all(const std::string& why);
    bool any() const;
    // A program's function threw, which it must not: what the program knows is no longer sure.
    bool done_threw() const { return done_threw_.load(std::memory_order_relaxed); }

    // A small read, made by the caller's thread through its own queue; see Shard::read_inline().
    // False: it has to be submitted.
    bool read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes, void* data,
                     IoQueue& queue, DirectRead& direct);
    // What such reads add to a counter.
    std::uint64_t counted_here(Counter counter) const;

    const Histogram& latency(Op op) const { return op == Op::read ? reads_ : writes_; }
    std::uint64_t memory_bytes() const { return requests_.size() * sizeof(Active); }

  private:
    static constexpr std::uint32_t kAtOnce = 4;

    struct Active {
        RequestTable* table = nullptr;
        VolumeState* volume = nullptr;
        std::uint32_t side = 0;  // of the volume, on which it is counted; see VolumeState
        Request request;
        std::uint64_t begun_ns = 0;
        std::uint64_t pieces = 0;
        // Write-zeroes: blocks covered in part are written, the whole ones between them trimmed.
        std::uint64_t inner_begin = 0, inner_end = 0;
        std::atomic<std::uint64_t> next_piece{0};
        std::atomic<std::uint32_t> running{0};
        std::atomic<bool> failed{false};
        std::atomic<bool> live{false};  // begun, and nobody has ended it: who clears it answers
        Errc error = Errc::io_error;
        std::uint64_t bad_offset = 0;
        std::array<PageOp, kAtOnce> ops;
        std::array<std::uint64_t, kAtOnce> offsets{};  // where each op's piece begins
    };

    Status check(const VolumeState& volume, const Request& request) const;
    Status take(VolumeState& volume, std::uint32_t side, Request& request);
    static bool has_head(const Active& active);
    static bool has_tail(const Active& active);
    static void cut(Active& active);
    void run_pieces(Active& active);
    bool next(Active& active, PageOp& op);
    static void set_range(const VolumeState& volume, PageOp& op, std::uint64_t from,
                          std::uint64_t to);
    void make_range(Active& active, PageOp& op, OpKind kind, std::uint64_t from, std::uint64_t to);
    void piece_done(PageOp& op);
    void end(Active& active);
    void answer(Active& active, Status status, bool reuse);
    Status outcome_of(const Active& active) const;
    Shard& shard_of(const PageOp& op) { return *shards_[array_.shard_of(page_of(op.first))]; }

    const ArrayContext& array_;
    const SpaceGate& gate_;
    std::vector<Shard*> shards_;
    Clock& clock_;
    std::vector<Active> requests_;
    mutable Mutex mutex_;
    std::vector<Active*> idle_ QS_GUARDED_BY(mutex_);
    std::atomic<std::uint32_t>& in_flight_;
    std::atomic<std::uint64_t> bytes_read_here_{0}, verify_failed_here_{0}, io_errors_here_{0};
    std::atomic<bool> done_threw_{false};
    Histogram reads_, writes_;
};

}  // namespace qlcshape
