// SPDX-License-Identifier: Apache-2.0
// What a worker's thread does in the phases of closing.
#include "engine/worker.h"

#include <catch2/catch.hpp>
#include <memory>

#include "base/buffer.h"
#include "device/memory_device.h"

using namespace qlcshape;

namespace {

// Has something to write whenever it is asked to look, and is done with every phase all the same,
// as one whose work can wait for the next opening.
class AlwaysWrites final : public Actor {
  public:
    AlwaysWrites(Device& device, IoQueue& queue) : queue_(queue), memory_(kBlockBytes) {
        io_.kind = IoKind::write;
        io_.device = &device;
        io_.bytes = memory_.size();
        io_.data = memory_.data();
        io_.context = this;
        io_.done = [](Io& done) { static_cast<AlwaysWrites*>(done.context)->writing_ = false; };
    }
    bool poll() override {
        if (!has_work || writing_) return false;
        writing_ = true;
        queue_.submit(io_);
        return true;
    }
    bool busy() const override { return has_work; }
    void begin(Phase) override {}
    bool done_with(Phase) override { return true; }
    bool failed() const override { return false; }

    bool has_work = false;

  private:
    IoQueue& queue_;
    Buffer memory_;
    Io io_;
    bool writing_ = false;
};

}  // namespace

TEST_CASE("worker: nothing begins after the last phase of closing") {
    const auto device = open_memory_device("memory:worker", MiB, Access::read_write, true);
    REQUIRE(device);
    auto queue = std::make_unique<IoQueue>();
    IoQueue& its_queue = *queue;
    Worker worker("worker", std::move(queue));
    AlwaysWrites& actor = worker.own(std::make_unique<AlwaysWrites>(**device, its_queue));
    for (const Phase phase : {Phase::draining, Phase::erasing, Phase::flushing}) {
        while (worker.poll(phase)) {
        }
        REQUIRE(worker.reached() == phase);
        actor.has_work = true;
        const bool any = worker.poll(phase);
        CHECK(any == (phase != Phase::flushing));
        CHECK((its_queue.in_flight() == 0) == (phase == Phase::flushing));
        actor.has_work = false;
    }
}
