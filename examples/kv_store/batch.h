// SPDX-License-Identifier: Apache-2.0
// The tasks that are done on one bucket together, with one write to the index. An operation that
// waits for nothing: each step ends by submitting transfers whose continuation is the next step.
//
//   load      read the bucket, if it is not in DRAM
//   apply     the tasks in order, to a copy of the bucket
//   prepare   write what goes to new extents (values, a bucket that grows), read values asked for
//   publish   one atomic write: the bucket's block of the index, or its extent in place
//   finish    the copy is the bucket
//
// A crash before `publish` leaves the bucket as it was, and after it as it is to be; extents that
// nothing leads to are found free by the next open. Answers come after `publish`, so that nobody is
// told of what may still be lost. Replaced extents are freed only when the batch is over, and with
// it every read of them.
#pragma once

#include <qlcshape/error.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "kv_store/bucket.h"
#include "kv_store/space.h"
#include "kv_store/task.h"
#include "kv_store/volume_io.h"

namespace kv_store {

// A bucket and what waits for it.
struct BucketState {
    std::uint64_t number = 0;
    std::optional<Bucket> bucket;  // as it is in the volume; none: not in DRAM
    std::deque<Task> tasks;
};

class Batch {
  public:
    struct Outcome {
        std::vector<std::pair<Task::Done, qlcshape::Result<Answer>>> answers;
        std::vector<Extent> freed;
        std::int64_t keys_added = 0;
    };

    // `over` is called once, at the end of start() or from VolumeIo::poll().
    Batch(BucketState& state, std::uint64_t buckets, VolumeIo& io, Space& space,
          std::move_only_function<void()> over);
    Batch(const Batch&) = delete;

    void start();
    Outcome& outcome() { return outcome_; }

  private:
    struct Transfer {
        Extent extent;
        Bytes bytes;
    };
    struct Lookup {  // of a value in an extent, for an answer
        std::size_t answer = 0;
        std::uint32_t value_bytes = 0;
        Transfer transfer;
    };

    void load();
    void load_body(Extent body);
    void loaded(std::span<const std::byte> bytes, std::optional<Extent> body);

    void apply();
    bool writes_value_of(const Task& task) const;
    qlcshape::Result<Answer> apply(Task& task);
    qlcshape::Result<Answer> get(const Task& task);
    qlcshape::Status set(Task& task);
    qlcshape::Status place_value(Record& record, const std::string& value);
    qlcshape::Status make_room(std::size_t bytes);
    bool remove(const Task& task);
    qlcshape::Result<Answer> list() const;

    void plan_publish();
    void prepare();
    void value_read(Lookup& lookup, qlcshape::Status status);
    void part_done();
    void publish();
    void finish();
    void fail(const qlcshape::Error& error);

    void write(Transfer& transfer, VolumeIo::Done done);
    void read(Transfer& transfer, VolumeIo::Done done);
    const Bucket& now() const { return next_ ? *next_ : *state_.bucket; }

    BucketState& state_;
    const std::uint64_t buckets_;
    VolumeIo& io_;
    Space& space_;
    std::move_only_function<void()> over_;

    Outcome outcome_;
    std::optional<Bucket> next_;  // once a task has changed something
    std::vector<Transfer> writes_;
    std::vector<Lookup> lookups_;
    Transfer index_;  // what load reads and publish writes
    std::size_t waiting_ = 0;
    std::optional<qlcshape::Error> failure_;
};

}  // namespace kv_store
