// SPDX-License-Identifier: Apache-2.0
// The flush barrier on its own: which flushes end when which writes have.
#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "shard/flush_barrier.h"

using namespace qlcshape;

namespace {

std::vector<const PageOp*> polled(FlushBarrier& barrier) {
    std::vector<const PageOp*> all;
    OpFifo ended;
    while (barrier.poll(ended)) {
        while (!ended.empty()) all.push_back(&ended.pop_front());
    }
    return all;
}

using Ops = std::vector<const PageOp*>;

}  // namespace

TEST_CASE("flush barrier: flushes end when the writes before them have, in the order of rounds") {
    FlushBarrier barrier;
    std::array<PageOp, 3> writes;
    std::array<PageOp, 4> flushes;
    barrier.enter(writes[0]);
    barrier.add(flushes[0]);
    barrier.add(flushes[1]);  // of the same round
    CHECK(polled(barrier).empty());
    barrier.enter(writes[1]);
    barrier.add(flushes[2]);
    CHECK(polled(barrier).empty());
    // A later write that ends first helps nobody.
    barrier.leave(writes[1]);
    CHECK(polled(barrier).empty());
    barrier.enter(writes[2]);
    barrier.leave(writes[0]);
    CHECK(polled(barrier) == Ops{&flushes[0], &flushes[1]});
    // The next round waits for all that came before it began.
    CHECK(barrier.writes_in_flight());
    barrier.leave(writes[2]);
    CHECK(polled(barrier) == Ops{&flushes[2]});
    barrier.add(flushes[3]);
    CHECK_FALSE(barrier.idle());
    CHECK(polled(barrier) == Ops{&flushes[3]});
    CHECK(barrier.idle());
}

TEST_CASE("flush barrier: a stream of writes does not hold up a flush") {
    FlushBarrier barrier;
    std::array<PageOp, 10> writes;
    PageOp flush;
    barrier.enter(writes[0]);
    barrier.add(flush);
    CHECK(polled(barrier).empty());
    // There is always another one in flight.
    for (std::size_t i = 1; i < writes.size(); ++i) {
        barrier.enter(writes[i]);
        barrier.leave(writes[i - 1]);
        CHECK(polled(barrier) == (i == 1 ? Ops{&flush} : Ops{}));
    }
    barrier.leave(writes.back());
    CHECK(barrier.idle());
}
