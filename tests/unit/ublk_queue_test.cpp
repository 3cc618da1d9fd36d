// SPDX-License-Identifier: Apache-2.0
// A queue of a ublk device against a kernel's side and an engine that the test plays.
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "test_array.h"
#include "tools/ublk/queue.h"
#include "tools/ublk/shape.h"

namespace qlcshape::ublk {
namespace {

constexpr std::size_t kSlotBytes = 64 * KiB;

// Plays the kernel's side: the test puts requests into slots, and sees what was committed.
class FakeLink final : public Link {
  public:
    explicit FakeLink(std::uint16_t depth) : descriptions_(depth), buffers_(depth) {}

    const ublksrv_io_desc& description(std::uint16_t tag) const override {
        return descriptions_[tag];
    }
    void fetch(std::uint16_t tag, std::byte* buffer) override { buffers_[tag] = buffer; }
    void commit(std::uint16_t tag, std::byte* buffer, int result) override {
        const std::lock_guard lock(mutex_);
        CHECK(buffer == buffers_[tag]);
        results_[tag].push_back(result);
        ++committed_;
        changed_.notify_all();
    }
    bool receive(Wait wait, std::vector<Arrival>& arrivals) override {
        std::unique_lock lock(mutex_);
        waits_.push_back(wait);
        const auto something = [&] { return woken_ || !arrived_.empty(); };
        if (wait == Wait::briefly) changed_.wait_for(lock, std::chrono::milliseconds(1), something);
        if (wait == Wait::until_something &&
            !changed_.wait_for(lock, std::chrono::minutes(2), something))
            return false;  // a wake-up was lost
        woken_ = false;
        arrivals.insert(arrivals.end(), arrived_.begin(), arrived_.end());
        arrived_.clear();
        return true;
    }
    void wake() override {
        const std::lock_guard lock(mutex_);
        woken_ = true;
        changed_.notify_all();
    }

    void arrive(std::uint16_t tag, std::uint32_t op, std::uint64_t sector, std::uint32_t sectors) {
        const std::lock_guard lock(mutex_);
        descriptions_[tag] = {op, sectors, sector, 0};
        arrived_.push_back({tag, 0});
        changed_.notify_all();
    }
    void end_slot(std::uint16_t tag, int result = -ENODEV) {
        const std::lock_guard lock(mutex_);
        arrived_.push_back({tag, result});
        changed_.notify_all();
    }
    std::vector<int> results(std::uint16_t tag) {
        const std::lock_guard lock(mutex_);
        return results_[tag];
    }
    bool wait_for_commits(std::uint64_t count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::minutes(2),
                                 [&] { return committed_ >= count; });
    }
    std::byte* buffer(std::uint16_t tag) { return buffers_[tag]; }
    std::vector<Wait> waits_;

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<ublksrv_io_desc> descriptions_;
    std::vector<std::byte*> buffers_;
    std::deque<Arrival> arrived_;
    std::map<std::uint16_t, std::vector<int>> results_;
    std::uint64_t committed_ = 0;
    bool woken_ = false;
};

// A queue whose requests the test ends itself.
struct Rig {
    explicit Rig(std::uint16_t depth = 4)
        : link(depth),
          memory(depth * kSlotBytes),
          queue(
              link, depth, memory,
              [this](Request request) -> Status {
                  if (busy > 0) {
                      --busy;
                      return std::unexpected(Error{Errc::busy, "busy"});
                  }
                  requests.push_back(std::move(request));
                  return {};
              },
              [this](const Error& error) { errors.push_back(error.message); }) {
        REQUIRE(queue.arm());
    }
    FakeLink link;
    std::vector<std::byte> memory;
    std::vector<Request> requests;
    std::vector<std::string> errors;
    int busy = 0;
    Queue queue;
};

}  // namespace

TEST_CASE("ublk queue: each kind of request becomes the volume's") {
    struct Row {
        std::uint32_t op;
        Op wanted;
        bool has_data;
        int result;
    };
    const Row row = GENERATE(Row{UBLK_IO_OP_READ, Op::read, true, 8 * 512},
                             Row{UBLK_IO_OP_WRITE, Op::write, true, 8 * 512},
                             Row{UBLK_IO_OP_WRITE | UBLK_IO_F_FUA << 8, Op::write, true, 8 * 512},
                             Row{UBLK_IO_OP_FLUSH, Op::flush, false, 0},
                             Row{UBLK_IO_OP_DISCARD, Op::trim, false, 0},
                             Row{UBLK_IO_OP_WRITE_ZEROES, Op::write_zeroes, false, 0});
    Rig rig;
    rig.link.arrive(2, row.op, 1000, 8);
    REQUIRE(rig.queue.turn());
    REQUIRE(rig.requests.size() == 1);
    const Request& request = rig.requests[0];
    CHECK(request.op == row.wanted);
    CHECK(request.data == (row.has_data ? rig.link.buffer(2) : nullptr));
    if (row.wanted != Op::flush) CHECK(request.offset_bytes == 1000 * 512);
    CHECK(request.bytes == (row.wanted == Op::flush ? 0 : 8 * 512));
    CHECK(rig.link.results(2).empty());  // nothing is answered before it is done
    request.done({});
    REQUIRE(rig.queue.turn());
    CHECK(rig.link.results(2) == std::vector{row.result});
    CHECK(rig.errors.empty());
}

TEST_CASE("ublk queue: errors reach the kernel and the log") {
    Rig rig;
    const auto [code, wanted] =
        GENERATE(std::pair{Errc::io_error, -EIO}, std::pair{Errc::media_error, -EIO},
                 std::pair{Errc::no_space, -ENOSPC}, std::pair{Errc::closed, -EIO},
                 std::pair{Errc::read_only, -EROFS}, std::pair{Errc::invalid_argument, -EINVAL});
    rig.link.arrive(0, UBLK_IO_OP_WRITE, 0, 8);
    REQUIRE(rig.queue.turn());
    rig.requests.at(0).done(std::unexpected(Error{code, "drive x at 4096"}));
    REQUIRE(rig.queue.turn());
    CHECK(rig.link.results(0) == std::vector{wanted});
    CHECK(rig.errors == std::vector<std::string>{"drive x at 4096"});
    // The slot goes on.
    rig.link.arrive(0, UBLK_IO_OP_READ, 0, 8);
    REQUIRE(rig.queue.turn());
    rig.requests.at(1).done({});
    REQUIRE(rig.queue.turn());
    CHECK(rig.link.results(0) == std::vector{wanted, 8 * 512});
}

TEST_CASE("ublk queue: what the kernel must not ask is refused, and nothing is written") {
    Rig rig;
    rig.link.arrive(0, UBLK_IO_OP_WRITE, 0, kSlotBytes / 512 + 1);
    rig.link.arrive(1, UBLK_IO_OP_WRITE_SAME, 0, 8);
    REQUIRE(rig.queue.turn());
    CHECK(rig.requests.empty());
    CHECK(rig.link.results(0) == std::vector{-EINVAL});
    CHECK(rig.link.results(1) == std::vector{-EOPNOTSUPP});
    CHECK(rig.errors.size() == 2);
}

TEST_CASE("ublk queue: a request that the engine has no room for is tried again, in order") {
    Rig rig;
    rig.busy = 3;  // both at first, then the first again
    rig.link.arrive(0, UBLK_IO_OP_WRITE, 0, 8);
    rig.link.arrive(1, UBLK_IO_OP_WRITE, 8, 8);
    REQUIRE(rig.queue.turn());  // both are refused, and one once more
    while (rig.requests.size() < 2) REQUIRE(rig.queue.turn());
    CHECK(rig.link.waits_.back() == Link::Wait::briefly);  // nobody would wake it
    CHECK(rig.link.results(0).empty());
    for (Request& request : rig.requests) request.done({});
    REQUIRE(rig.queue.turn());
    CHECK(rig.link.results(0) == std::vector{4096});
    CHECK(rig.link.results(1) == std::vector{4096});
    CHECK(rig.errors.empty());
}

TEST_CASE("ublk queue: it ends when the kernel has ended each slot") {
    Rig rig(2);
    rig.link.end_slot(0);
    REQUIRE(rig.queue.turn());
    rig.link.end_slot(1);
    REQUIRE(rig.queue.turn());
    CHECK_FALSE(rig.queue.turn());
}

TEST_CASE("ublk queue: who leaves answers what was begun, and begins nothing more") {
    Rig rig;
    rig.link.arrive(0, UBLK_IO_OP_WRITE, 0, 8);
    REQUIRE(rig.queue.turn());
    rig.queue.leave();
    rig.link.arrive(1, UBLK_IO_OP_WRITE, 8, 8);
    REQUIRE(rig.queue.turn());
    CHECK(rig.requests.size() == 1);
    rig.requests[0].done({});
    REQUIRE(rig.queue.turn());
    CHECK_FALSE(rig.queue.turn());
    CHECK(rig.link.results(0) == std::vector{4096});
    CHECK(rig.link.results(1).empty());               // the kernel gives it to the next server
    CHECK(rig.link.waits_.back() == Link::Wait::no);  // what was committed went to the kernel
}

TEST_CASE("ublk queue: a slot that the kernel refuses is an error at the start") {
    FakeLink link(2);
    std::vector<std::byte> memory(2 * kSlotBytes);
    Queue queue(
        link, 2, memory, [](Request) -> Status { return {}; }, [](const Error&) {});
    link.end_slot(1, -EINVAL);
    const Status armed = queue.arm();
    REQUIRE_FALSE(armed);
    CHECK(armed.error().message.find("slot 1") != std::string::npos);
}

// Each request's end comes from another thread, at any moment of the queue's way to sleep.
TEST_CASE("ublk queue: no wake-up is lost") {
    constexpr std::uint64_t kRequests = 20'000;
    FakeLink link(1);
    std::vector<std::byte> memory(kSlotBytes);
    std::mutex mutex;
    std::condition_variable given;
    std::deque<Request> requests;
    bool over = false;
    std::thread engine([&] {
        for (;;) {
            Request request;
            {
                std::unique_lock lock(mutex);
                given.wait(lock, [&] { return over || !requests.empty(); });
                if (requests.empty()) return;
                request = std::move(requests.front());
                requests.pop_front();
            }
            request.done({});
        }
    });
    Queue queue(
        link, 1, memory,
        [&](Request request) -> Status {
            const std::lock_guard lock(mutex);
            requests.push_back(std::move(request));
            given.notify_one();
            return {};
        },
        [](const Error&) {});
    REQUIRE(queue.arm());
    bool good = true;
    std::thread turning([&] {
        while (queue.turn()) {
        }
    });
    for (std::uint64_t i = 0; good && i < kRequests; ++i) {
        link.arrive(0, UBLK_IO_OP_READ, 0, 1);
        good = link.wait_for_commits(i + 1);
    }
    CHECK(good);
    queue.leave();
    turning.join();
    {
        const std::lock_guard lock(mutex);
        over = true;
        given.notify_one();
    }
    engine.join();
}

TEST_CASE("ublk queue: data goes to a volume and back") {
    TestArray array("ublk_queue");
    array.use([](Engine& engine) {
        REQUIRE(engine.create_volume("v", 4 * MiB));
        auto volume = engine.open_volume("v");
        REQUIRE(volume);
        FakeLink link(4);
        std::vector<std::byte> memory(4 * kSlotBytes);
        Queue queue(
            link, 4, memory, [&](Request r) { return volume->submit(std::move(r)); },
            [](const Error& error) { FAIL_CHECK(error.message); });
        REQUIRE(queue.arm());
        std::uint64_t commits = 0;
        const auto run = [&](std::uint16_t tag, std::uint32_t op, std::uint32_t sectors) {
            link.arrive(tag, op, 16, sectors);
            while (link.results(tag).size() <= commits / 4) REQUIRE(queue.turn());
            ++commits;
        };
        std::memset(link.buffer(0), 7, 8 * 512);
        run(0, UBLK_IO_OP_WRITE, 8);
        run(1, UBLK_IO_OP_READ, 8);
        CHECK(std::memcmp(link.buffer(0), link.buffer(1), 8 * 512) == 0);
        run(2, UBLK_IO_OP_DISCARD, 8);
        run(3, UBLK_IO_OP_READ, 8);
        CHECK(bytes_of(8 * 512, 0) ==
              std::vector<std::byte>(link.buffer(3), link.buffer(3) + 8 * 512));
        for (std::uint16_t tag = 0; tag < 4; ++tag) link.end_slot(tag);
        while (queue.turn()) {
        }
        // Queues outlive the engine's threads.
        REQUIRE(engine.close());
    });
}

}  // namespace qlcshape::ublk
