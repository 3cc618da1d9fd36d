// SPDX-License-Identifier: Apache-2.0
// A batch of questions goes round between two threads as fast as it can: whoever gives it back must
// have stopped reading it.
#include <catch2/catch.hpp>
#include <cstdint>
#include <thread>

#include "pmt/map_batch.h"

using namespace qlcshape;

namespace {

constexpr std::uint32_t kRounds = 20'000;

}  // namespace

TEST_CASE("stress: a batch is the sender's again with its last answer") {
    IoQueue asking, answering;
    Mailbox<MapBatch> replies;
    MapPort port;
    port.queue = &answering;
    MapBatch batch;
    batch.items.reserve(2);
    batch.reply_to = &replies;
    batch.reply_queue = &asking;

    std::thread shard([&] {
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            MapBatch* taken;
            while ((taken = port.mailbox.take_all()) == nullptr) answering.wait(1000);
            taken->unanswered = static_cast<std::uint32_t>(taken->items.size());
            for (MapItem& item : taken->items) item.batch = taken;
            MapItem* const items = taken->items.data();
            for (std::uint32_t left = taken->unanswered, i = 0; i < left; ++i) {
                items[i].matched = true;
                items[i].batch->answered();
            }
        }
    });
    std::uint32_t answers = 0;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        batch.items.clear();
        batch.items.resize(2);
        port.send(batch);
        while (replies.take_all() == nullptr) asking.wait(1000);
        for (const MapItem& item : batch.items) answers += item.matched ? 1 : 0;
    }
    shard.join();
    CHECK(answers == 2 * kRounds);
}
