// SPDX-License-Identifier: Apache-2.0
// A client of a block device that knows what each sector may hold: threads write, discard, zero and
// read ranges that overlap, each waiting for its answer, until SIGTERM; then every sector is read.
//
//   block_client DEVICE CELLS THREADS SEED        a cell is 4096 bytes
//
// A sector may hold what was written by any request that no other followed: one that began after
// the first was answered, and was answered before the read began. So an older write may win over
// one at the same time, and never over one that its writer knew of. Any error of the device ends
// it. Prints the number of answered requests now and then, and at the end what it counted. Exit 0:
// all was right.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kCell = 4096;
constexpr std::size_t kSector = 512;
constexpr std::size_t kMostCells = 64;
constexpr std::uint64_t kNever = UINT64_MAX;

// What was put into a cell: `stamp` is 0 for zeroes. Times are counted by events.
struct Put {
    std::uint64_t stamp;
    std::uint64_t begun;
    std::uint64_t answered;
};

struct Sector {
    std::uint64_t stamp;
    std::uint64_t number;
    std::array<std::uint64_t, 62> filling;
};
static_assert(sizeof(Sector) == kSector);

std::atomic<bool> stop{false};
std::atomic<std::uint64_t> now{1};
std::atomic<std::uint64_t> answered_requests{0};
std::array<std::atomic<std::uint64_t>, 5> counts{};  // by kind, then wrong sectors

enum Kind { kWrite, kDiscard, kZero, kRead, kWrong };

[[noreturn]] void give_up(const char* what, std::size_t cell) {
    std::fprintf(stderr, "block_client: %s at cell %zu: %s\n", what, cell, std::strerror(errno));
    std::_Exit(1);
}

class Model {
  public:
    Model(std::size_t cells, std::size_t threads) : cells_(cells), begun_(threads) {
        for (auto& puts : cells_) puts.push_back({0, 0, 0});
        for (auto& b : begun_) b = kNever;
    }

    // A request begins; returns when.
    std::uint64_t begin(std::size_t thread) {
        const std::lock_guard lock(mutex_);
        return begun_[thread] = now++;
    }

    void put(std::size_t from, std::size_t count, std::uint64_t stamp, std::uint64_t begun) {
        const std::lock_guard lock(mutex_);
        for (std::size_t c = from; c < from + count; ++c)
            cells_[c].push_back({stamp, begun, kNever});
    }

    void answer_put(std::size_t thread, std::size_t from, std::size_t count, std::uint64_t begun) {
        const std::lock_guard lock(mutex_);
        const std::uint64_t at = now++;
        begun_[thread] = kNever;
        const std::uint64_t oldest = *std::ranges::min_element(begun_);
        for (std::size_t c = from; c < from + count; ++c) {
            for (Put& p : cells_[c]) {
                if (p.begun == begun) p.answered = at;
            }
            std::erase_if(cells_[c], [&](const Put& p) { return followed(c, p, oldest); });
        }
    }

    void answer_read(std::size_t thread, std::size_t from, const std::vector<Sector>& sectors,
                     std::size_t count, std::uint64_t begun) {
        const std::lock_guard lock(mutex_);
        begun_[thread] = kNever;
        for (std::size_t i = 0; i < count * kCell / kSector; ++i)
            check(from + i * kSector / kCell, from * kCell / kSector + i, sectors[i], begun);
    }

  private:
    bool followed(std::size_t cell, const Put& put, std::uint64_t before) const {
        return std::ranges::any_of(cells_[cell], [&](const Put& p) {
            return put.answered < p.begun && p.answered < before;
        });
    }

    void check(std::size_t cell, std::size_t number, const Sector& sector, std::uint64_t begun) {
        const bool whole =
            sector.number == (sector.stamp == 0 ? 0 : number) &&
            std::ranges::all_of(sector.filling, [&](std::uint64_t f) { return f == sector.stamp; });
        const bool right = whole && std::ranges::any_of(cells_[cell], [&](const Put& p) {
                               return p.stamp == sector.stamp && !followed(cell, p, begun);
                           });
        if (right) return;
        if (counts[kWrong]++ < 10) {
            std::fprintf(stderr,
                         "block_client: sector %zu holds %llu (of sector %llu)%s; allowed:", number,
                         static_cast<unsigned long long>(sector.stamp),
                         static_cast<unsigned long long>(sector.number), whole ? "" : ", torn");
            for (const Put& p : cells_[cell]) {
                std::fprintf(stderr, " %llu", static_cast<unsigned long long>(p.stamp));
            }
            std::fprintf(stderr, "\n");
        }
    }

    std::mutex mutex_;
    std::vector<std::vector<Put>> cells_;
    std::vector<std::uint64_t> begun_;  // of each thread's request
};

struct Buffer {
    explicit Buffer(std::size_t bytes) : data(std::aligned_alloc(kCell, bytes)) {}
    ~Buffer() { std::free(data); }
    void* data;
};

void read_cells(int fd, Model& model, std::size_t thread, std::size_t from, std::size_t count,
                void* data) {
    const std::uint64_t begun = model.begin(thread);
    const auto bytes = static_cast<ssize_t>(count * kCell);
    if (::pread(fd, data, count * kCell, static_cast<off_t>(from * kCell)) != bytes)
        give_up("read", from);
    std::vector<Sector> sectors(count * kCell / kSector);
    std::memcpy(sectors.data(), data, count * kCell);
    model.answer_read(thread, from, sectors, count, begun);
    ++counts[kRead];
}

void change_cells(int fd, Model& model, std::size_t thread, Kind kind, std::size_t from,
                  std::size_t count, void* data) {
    const std::uint64_t begun = model.begin(thread);
    model.put(from, count, kind == kWrite ? begun : 0, begun);
    std::uint64_t range[2] = {from * kCell, count * kCell};
    bool good = false;
    if (kind == kWrite) {
        auto* const sectors = static_cast<Sector*>(data);
        for (std::size_t i = 0; i < count * kCell / kSector; ++i) {
            sectors[i].stamp = begun;
            sectors[i].number = from * kCell / kSector + i;
            sectors[i].filling.fill(begun);
        }
        good = ::pwrite(fd, data, range[1], static_cast<off_t>(range[0])) ==
               static_cast<ssize_t>(range[1]);
    } else {
        good = ::ioctl(fd, kind == kDiscard ? BLKDISCARD : BLKZEROOUT, range) == 0;
    }
    if (!good) give_up(kind == kWrite ? "write" : "discard or zero", from);
    model.answer_put(thread, from, count, begun);
    ++counts[kind];
}

void run(int fd, Model& model, std::size_t cells, std::size_t thread, std::uint64_t seed) {
    std::mt19937_64 random(seed * 1000 + thread);
    const Buffer buffer(kMostCells * kCell);
    while (!stop) {
        const std::size_t most = random() % 10 == 0 ? kMostCells : 4;
        const std::size_t count = 1 + random() % std::min(most, cells);
        const std::size_t from = random() % (cells - count + 1);
        const std::uint64_t dice = random() % 100;
        if (dice < 30)
            read_cells(fd, model, thread, from, count, buffer.data);
        else
            change_cells(fd, model, thread,
                         dice < 75   ? kWrite
                         : dice < 90 ? kDiscard
                                     : kZero,
                         from, count, buffer.data);
        ++answered_requests;
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: block_client DEVICE CELLS THREADS SEED\n");
        return 2;
    }
    const std::size_t cells = std::stoull(argv[2]);
    const std::size_t threads = std::stoull(argv[3]);
    const int fd = ::open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd < 0) give_up("open", 0);
    std::signal(SIGTERM, [](int) { stop = true; });
    std::uint64_t all[2] = {0, cells * kCell};
    if (::ioctl(fd, BLKDISCARD, all) != 0) give_up("discard", 0);
    Model model(cells, threads);
    std::vector<std::thread> running;
    for (std::size_t i = 0; i < threads; ++i)
        running.emplace_back([&, i] { run(fd, model, cells, i, std::stoull(argv[4])); });
    while (!stop) {
        std::printf("%llu\n", static_cast<unsigned long long>(answered_requests.load()));
        std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    for (std::thread& thread : running) thread.join();
    const Buffer buffer(kMostCells * kCell);
    for (std::size_t from = 0; from < cells; from += kMostCells)
        read_cells(fd, model, 0, from, std::min(kMostCells, cells - from), buffer.data);
    std::printf("block_client: %llu writes, %llu discards, %llu zeroes, %llu reads, %llu wrong\n",
                static_cast<unsigned long long>(counts[kWrite]),
                static_cast<unsigned long long>(counts[kDiscard]),
                static_cast<unsigned long long>(counts[kZero]),
                static_cast<unsigned long long>(counts[kRead]),
                static_cast<unsigned long long>(counts[kWrong]));
    return counts[kWrong] == 0 ? 0 : 1;
}
