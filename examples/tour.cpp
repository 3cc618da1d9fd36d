// SPDX-License-Identifier: Apache-2.0
// What docs/library.md teaches, as a program: blocking and asynchronous calls, errors, threads,
// lifetimes, on an array in memory. The page shows parts of it, which house/facts compares.
#include <qlcshape/engine.h>

#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

using namespace qlcshape;

static Options memory_array() {
    Options options;
    options.name = "tour";
    options.data_strips = 4;
    options.strip_bytes = 64 << 10;
    options.band_bytes = 1 << 20;
    for (int i = 0; i < 6; ++i)
        options.devices.push_back({Role::qlc, "memory:qlc" + std::to_string(i), 48 << 20});
    for (int i = 0; i < 2; ++i)
        options.devices.push_back({Role::scm, "memory:scm" + std::to_string(i), 32 << 20});
    options.log = [](LogLevel level, const std::string& message) {
        if (level != LogLevel::info) std::fprintf(stderr, "%s\n", message.c_str());
    };
    return options;
}

static Result<std::unique_ptr<Engine>> make_and_open() {
    const Options options = memory_array();  // or Options::from_file("array.toml")
    if (Status made = Engine::create(options); !made) return std::unexpected(made.error());
    Result<std::unique_ptr<Engine>> engine = Engine::open(options);
    if (!engine) return engine;
    if (Status made = (*engine)->create_volume("v0", 16 << 20); !made)
        return std::unexpected(made.error());
    return engine;
}

static Status blocking_calls(const Volume& volume) {
    std::array<std::byte, kVolumeBlockBytes> block{};
    std::memcpy(block.data(), "hello", 5);
    if (Status s = volume.write(42, block); !s) return s;   // durable when it returns
    if (Status s = volume.read(42, block); !s) return s;    // verified when it returns
    if (Status s = volume.trim(42, 1); !s) return s;        // reads as zeroes from now on
    return volume.run(Op::write, 512, 1024, block.data());  // any multiple of 512 bytes
}

static Status errors(const Volume& volume) {
    std::array<std::byte, kVolumeBlockBytes> block{};
    const Status status = volume.read(volume.blocks(), block);  // one block too far
    if (status) return {};
    switch (status.error().code) {
        case Errc::invalid_argument:  // our mistake: offset, length or range
            std::cout << "refused: " << status.error().message << "\n";
            return {};
        case Errc::media_error:  // this block is lost; others can be read
        case Errc::read_only:    // opened so: reads go on
        case Errc::io_error:     // writing has ended: close, and open again
        default:
            return status;
    }
}

// Buffers that requests use in turn. give() is called on threads of the engine.
class Buffers {
  public:
    explicit Buffers(unsigned count) : blocks_(count) {
        for (auto& block : blocks_) free_.push_back(&block);
    }
    std::byte* take() {
        std::unique_lock lock(mutex_);
        given_.wait(lock, [&] { return !free_.empty(); });
        Block* block = free_.back();
        free_.pop_back();
        return block->data();
    }
    void give(std::byte* data, const Status& status) {
        const std::lock_guard lock(mutex_);
        if (!status) result_ = status;
        free_.push_back(&blocks_[std::size_t(data - blocks_[0].data()) / kVolumeBlockBytes]);
        given_.notify_one();
    }
    Status wait_for_all() {
        std::unique_lock lock(mutex_);
        given_.wait(lock, [&] { return free_.size() == blocks_.size(); });
        return result_;
    }

  private:
    using Block = std::array<std::byte, kVolumeBlockBytes>;
    std::vector<Block> blocks_;
    std::mutex mutex_;
    std::condition_variable given_;
    std::vector<Block*> free_;
    Status result_;
};

// Writes `count` blocks with up to `depth` requests in flight.
static Status asynchronous(const Volume& volume, std::uint64_t count, unsigned depth) {
    Buffers buffers(depth);
    for (std::uint64_t lba = 0; lba < count; ++lba) {
        std::byte* data = buffers.take();  // waits while all are in flight
        std::memcpy(data, &lba, sizeof(lba));

        Request request;
        request.op = Op::write;
        request.offset_bytes = lba * kVolumeBlockBytes;
        request.bytes = kVolumeBlockBytes;
        request.data = data;  // the engine's until `done` is called
        request.done = [&buffers, data](Status status) { buffers.give(data, status); };
        if (Status taken = volume.submit(std::move(request)); !taken)
            buffers.give(data, taken);  // not taken: `done` will not be called
    }
    return buffers.wait_for_all();
}

static Status threads(const Volume& volume) {
    std::array<Status, 4> results;
    {
        std::vector<std::jthread> writers;
        for (std::uint64_t t = 0; t < results.size(); ++t) {
            writers.emplace_back([volume, t, &results] {  // a handle is cheap to copy
                const std::array<std::byte, kVolumeBlockBytes> block{std::byte(t)};
                results[t] = volume.write(100 + t, block);
            });
        }
    }
    for (const Status& result : results)
        if (!result) return result;
    return {};
}

static Status tour() {
    Result<std::unique_ptr<Engine>> engine = make_and_open();
    if (!engine) return std::unexpected(engine.error());
    Result<Volume> volume = (*engine)->open_volume("v0");
    if (!volume) return std::unexpected(volume.error());

    for (const Status& status : {blocking_calls(*volume), errors(*volume),
                                 asynchronous(*volume, 1000, 32), threads(*volume)}) {
        if (!status) return status;
    }
    const Stats stats = (*engine)->stats();
    std::cout << stats.bytes.user_written << " bytes written, WAF " << stats.waf_data << "\n";

    if (Status closed = (*engine)->close(); !closed) return closed;
    std::array<std::byte, kVolumeBlockBytes> block{};
    const Status late = volume->read(0, block);  // the handle is still there, the engine is not
    std::cout << "after close: " << to_string(late.error().code) << "\n";
    return {};
}

int main() {
    const Status status = tour();
    if (!status) std::cerr << "tour: " << status.error().message << "\n";
    return status ? 0 : 1;
}
