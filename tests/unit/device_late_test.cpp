// SPDX-License-Identifier: Apache-2.0
// Transfers that the kernel keeps: a pipe is a drive that answers when somebody writes to it.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/lent.h"
#include "device/file_device.h"
#include "device/medium.h"
#include "device/unanswered.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kLimit = 1'000'000'000;

class ManualClock final : public Clock {
  public:
    std::uint64_t now_ns() override { return now_; }
    void pass(std::uint64_t ns) { now_ += ns; }

  private:
    std::uint64_t now_ = 0;
};

struct Pipe {
    Pipe() {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        file = std::make_shared<const OpenFile>(ends[0]);
        to = ends[1];
        device = std::make_unique<FileDevice>("pipe", Geometry{MiB, 4096, 4096, 0, 512, false},
                                              file, false);
    }
    ~Pipe() { ::close(to); }
    void answer() const {
        const std::vector<char> bytes(kBlockBytes, 'a');
        REQUIRE(::write(to, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    }

    std::shared_ptr<const OpenFile> file;
    int to = -1;
    std::unique_ptr<FileDevice> device;
};

struct Read {
    explicit Read(Device& device) {
        io.device = &device;
        io.bytes = memory.size();
        io.data = memory.data();
        io.context = &times_done;
        io.done = [](Io& done) { ++*static_cast<int*>(done.context); };
    }
    bool arrived() const { return memory.data()[0] == std::byte{'a'}; }

    Buffer memory{kBlockBytes};
    int times_done = 0;
    Io io;
};

// A queue whose transfers may take a second by a clock that the test moves.
struct Late {
    explicit Late(IoQueue::Late late) {
        queue.set_clock(io_clock, late);
        has_ring = queue.ring() != nullptr;
        if (!has_ring) WARN("no io_uring here");
    }
    // Time of which all counts, since the queue is polled meanwhile.
    void pass(std::uint64_t ns) {
        for (std::uint64_t at = 0; at < ns; at += kLimit / 10) {
            clock.pass(kLimit / 10);
            io_clock.look();
            queue.poll();
        }
    }
    void poll_until(const std::function<bool()>& done) {
        for (int i = 0; i < 10000 && !done(); ++i) {
            queue.poll();
            queue.wait(1000);
        }
        CHECK(done());
    }

    ManualClock clock;
    IoClock io_clock{clock, kLimit};
    IoQueue queue;
    bool has_ring = false;
};

}  // namespace

TEST_CASE("device late: a read that the kernel keeps ends, and lands where nobody looks") {
    Pipe pipe;
    Late late(IoQueue::Late::kept);
    if (!late.has_ring) return;
    auto read = std::make_unique<Read>(*pipe.device);
    late.queue.submit(read->io);
    late.queue.poll();
    CHECK(read->times_done == 0);
    CHECK_FALSE(pipe.device->given_up());
    late.pass(2 * kLimit);
    late.queue.poll();
    REQUIRE(read->times_done == 1);
    CHECK(read->io.error_number == ETIMEDOUT);
    CHECK(read->io.kept);
    CHECK(late.queue.in_flight() == 0);
    CHECK(pipe.device->given_up());
    CHECK(pipe.device->failures() == 1);
    // It gets nothing more.
    Read other(*pipe.device);
    late.queue.submit(other.io);
    late.poll_until([&] { return other.times_done == 1; });
    CHECK(other.io.error_number == ETIMEDOUT);
    CHECK_FALSE(other.io.kept);
    // The drive answers: the memory is freed only then, and the lock goes with it.
    const std::weak_ptr<const OpenFile> lock = pipe.file;
    pipe.file.reset();
    pipe.device.reset();
    read.reset();
    CHECK_FALSE(lock.expired());
    pipe.answer();
    late.poll_until([&] { return lock.expired(); });
}

TEST_CASE("device late: a copy leaves the reader's memory alone") {
    Pipe pipe;
    Late late(IoQueue::Late::copied);
    if (!late.has_ring) return;
    Read read(*pipe.device);
    late.queue.submit(read.io);
    late.queue.poll();
    late.pass(2 * kLimit);
    late.poll_until([&] { return read.times_done == 1; });
    CHECK(read.io.error_number == ETIMEDOUT);
    CHECK_FALSE(read.io.kept);
    pipe.answer();
    for (int i = 0; i < 10; ++i) {
        late.queue.poll();
        late.queue.wait(1000);
    }
    CHECK_FALSE(read.arrived());
    CHECK(read.times_done == 1);
}

TEST_CASE("device late: what is under way elsewhere on a drive that was given up ends at once") {
    Pipe pipe;
    Late late(IoQueue::Late::kept);
    if (!late.has_ring) return;
    IoQueue second;
    second.set_clock(late.io_clock, IoQueue::Late::kept);
    Read first(*pipe.device);
    late.queue.submit(first.io);
    late.queue.poll();
    late.pass(kLimit - kLimit / 10);
    Read other(*pipe.device);
    second.submit(other.io);
    second.poll();
    late.pass(kLimit / 5);
    CHECK(first.times_done == 1);
    CHECK(other.times_done == 0);
    second.poll();
    CHECK(other.times_done == 1);
    CHECK(other.io.kept);
    pipe.answer();
    pipe.answer();
    late.poll_until([&] { return first.arrived(); });
}

TEST_CASE("device late: time in which nobody polls does not count") {
    Pipe pipe;
    Late late(IoQueue::Late::kept);
    if (!late.has_ring) return;
    Read read(*pipe.device);
    late.queue.submit(read.io);
    for (int i = 0; i < 5; ++i) {
        late.clock.pass(kLimit);
        late.io_clock.look();
    }
    late.queue.poll();  // the kernel hears of it now
    CHECK(read.times_done == 0);
    CHECK_FALSE(pipe.device->given_up());
    pipe.answer();
    late.poll_until([&] { return read.times_done == 1; });
    CHECK(read.io.error_number == 0);
}

TEST_CASE("device late: where the queue goes first the kernel has drive and memory") {
    Pipe pipe;
    const std::weak_ptr<const OpenFile> lock = pipe.file;
    auto read = std::make_unique<Read>(*pipe.device);
    std::byte* const memory = read->memory.data();
    {
        Late late(IoQueue::Late::kept);
        if (!late.has_ring) return;
        late.queue.submit(read->io);
        late.queue.poll();
        late.pass(2 * kLimit);
        REQUIRE(read->times_done == 1);
    }
    CHECK(pipe.file->left_to_kernel());
    pipe.file.reset();
    pipe.device.reset();
    CHECK(lock.expired());
    read.reset();
    memory[0] = std::byte{1};  // it is not freed
}

TEST_CASE("device late: memory that is lent is freed when it is returned") {
    static int freed;
    freed = 0;
    const FreeMemory free = [](std::byte*, std::size_t) { ++freed; };
    std::vector<std::byte> bytes(4 * kBlockBytes);
    std::byte* const at = bytes.data();
    auto two = std::make_unique<Lent>(Lent::Parts{{at, kBlockBytes}, {at + 8192, kBlockBytes}});
    auto one = std::make_unique<Lent>(Lent::Parts{{at + 100, 1}});
    free_when_returned(at + kBlockBytes, kBlockBytes, free);  // between them
    CHECK(freed == 1);
    free_when_returned(at, 2 * kBlockBytes, free);
    free_when_returned(at + 8192, kBlockBytes, free);
    CHECK(freed == 1);
    two.reset();
    CHECK(freed == 2);
    one.reset();
    CHECK(freed == 3);
    free_when_returned(at, bytes.size(), free);
    CHECK(freed == 4);
}

TEST_CASE("device late: what does not answer to this process can't be opened, and says so") {
    std::string path = (std::filesystem::temp_directory_path() / "qlcshape-XXXXXX").string();
    ::close(::mkstemp(path.data()));
    REQUIRE(open_device(path, MiB, Access::read_write, true));
    auto holder = open_device(path, 0, Access::read_write, false);
    REQUIRE(holder);
    auto unanswered = std::make_unique<Unanswered>(medium_of(path), path);
    for (const Access access : {Access::read_write, Access::read_only}) {
        const auto opened = open_device(path, 0, access, false);
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == Errc::device_failed);
        CHECK(opened.error().message.find(path + ": does not answer") == 0);
    }
    CHECK(open_device(path, 0, Access::inspect, false));
    holder->reset();  // it has answered
    CHECK(open_device(path, 0, Access::read_write, false));
    unanswered.reset();
    holder = open_device(path, 0, Access::read_write, false);
    const auto second = open_device(path, 0, Access::read_write, false);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::busy);
    std::filesystem::remove(path);
}
