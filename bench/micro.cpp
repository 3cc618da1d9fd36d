// SPDX-License-Identifier: Apache-2.0
// Speed of the parts on one core: checksums, copies, parity, reconstruction. Each figure is bytes
// of user data per second.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "base/types.h"
#include "format/segment_header.h"
#include "placement/array_context.h"
#include "pmt/page_cache.h"
#include "raid6/parity.h"

namespace qlcshape {
namespace {

constexpr std::uint32_t kDataStrips = 8;
constexpr std::uint64_t kStripBytes = 128 * KiB;
constexpr std::uint64_t kStripeBytes = (kDataStrips + 2) * kStripBytes;

void count_bytes(benchmark::State& state, std::uint64_t bytes_per_iteration) {
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes_per_iteration) * state.iterations());
}

void memcpy_4k(benchmark::State& state) {
    const Buffer from(kBlockBytes);
    const Buffer to(kBlockBytes);
    for (auto _ : state) {
        std::memcpy(to.data(), from.data(), kBlockBytes);
        benchmark::DoNotOptimize(to.data());
        benchmark::ClobberMemory();
    }
    count_bytes(state, kBlockBytes);
}
BENCHMARK(memcpy_4k);

void crc32c_4k(benchmark::State& state) {
    const Buffer block(kBlockBytes);
    for (auto _ : state) benchmark::DoNotOptimize(crc32c(block.span()));
    count_bytes(state, kBlockBytes);
}
BENCHMARK(crc32c_4k);

void copy_block_crc32c_4k(benchmark::State& state) {
    const Buffer from(kBlockBytes);
    const Buffer to(kBlockBytes);
    for (auto _ : state) {
        benchmark::DoNotOptimize(copy_block_crc32c(to.data(), from.data()));
        benchmark::ClobberMemory();
    }
    count_bytes(state, kBlockBytes);
}
BENCHMARK(copy_block_crc32c_4k);

// Stripes one after another in memory: one stays in cache, hundreds of MiB come from DRAM.
class Stripes {
  public:
    explicit Stripes(std::uint64_t count) : memory_(count * kStripeBytes), count_(count) {
        std::memset(memory_.data(), 0x5a, memory_.size());
    }
    std::span<std::byte* const> next() {
        std::byte* stripe = memory_.data() + at_ * kStripeBytes;
        at_ = (at_ + 1) % count_;
        for (std::uint32_t role = 0; role < kDataStrips + 2; ++role) {
            strips_[role] = stripe + role * kStripBytes;
        }
        return strips_;
    }

  private:
    Buffer memory_;
    std::uint64_t count_;
    std::uint64_t at_ = 0;
    std::vector<std::byte*> strips_ = std::vector<std::byte*>(kDataStrips + 2);
};

constexpr std::int64_t kInCache = 1;
constexpr std::int64_t kInDram = 400;

void compute_parity_8p2(benchmark::State& state) {
    Stripes stripes(static_cast<std::uint64_t>(state.range(0)));
    for (auto _ : state) {
        compute_parity(stripes.next(), kStripBytes);
        benchmark::ClobberMemory();
    }
    count_bytes(state, kDataStrips * kStripBytes);
}
BENCHMARK(compute_parity_8p2)->ArgName("stripes")->Arg(kInCache)->Arg(kInDram);

void reconstruct_two_lost_8p2(benchmark::State& state) {
    Stripes stripes(static_cast<std::uint64_t>(state.range(0)));
    constexpr std::uint32_t kLost[] = {1, 6};
    for (auto _ : state) {
        reconstruct(stripes.next(), kStripBytes, kLost);
        benchmark::ClobberMemory();
    }
    count_bytes(state, kDataStrips * kStripBytes);
}
BENCHMARK(reconstruct_two_lost_8p2)->ArgName("stripes")->Arg(kInCache)->Arg(kInDram);

// A degraded read of a single block: the matrix costs more than the bytes.
void reconstruct_one_block(benchmark::State& state) {
    Stripes stripes(1);
    constexpr std::uint32_t kLost[] = {3};
    for (auto _ : state) {
        reconstruct(stripes.next(), kBlockBytes, kLost);
        benchmark::ClobberMemory();
    }
    count_bytes(state, kBlockBytes);
}
BENCHMARK(reconstruct_one_block);

ArrayLayout layout_8p2() {
    ArrayParameters p;
    p.qlc_bytes = 64 * GiB;
    p.scm_bytes = 4 * GiB;
    return *make_layout(p);
}

// Finding a block's entry in a page that is in the cache.
void pmt_lookup(benchmark::State& state) {
    forget_memory_device("memory:micro-scm");
    auto scm = open_device("memory:micro-scm", 4 * GiB, Access::read_write, true);
    ArrayContext array;
    array.layout = layout_8p2();
    array.scm = {scm->get(), scm->get()};
    IoQueue queue;
    Counters counters;
    TableBitmap bitmap(array.layout);
    PageCache cache(array, bitmap, 512, queue, counters);
    constexpr std::uint64_t kPages = 1024;
    Buffer block(kBlockBytes);
    const std::vector<PmtEntry> entries(kPageEntries);
    for (std::uint64_t page = 0; page < kPages; ++page) {
        encode_pmt_page(entries.data(), PageId(page), array.array, 0, block.data());
        Io io{.kind = IoKind::write,
              .device = scm->get(),
              .offset = array.layout.pmt_page_offset(PageId(page)),
              .bytes = kBlockBytes,
              .data = block.data()};
        static_cast<void>(run(queue, io));
        bitmap.set_written(PageId(page));
        PageWaiter waiter;
        waiter.ready = [](PageWaiter&, CachedPage*) {};
        if (cache.get(PageId(page), waiter) == nullptr) queue.poll();
    }
    Random random(1);
    PageWaiter waiter;
    std::uint64_t sum = 0;
    for (auto _ : state) {
        const std::uint64_t lba = random.below(kPages * kPageEntries);
        sum += cache.get(page_of(Lba(lba)), waiter)->entries[lba % kPageEntries].bits;
    }
    benchmark::DoNotOptimize(sum);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(pmt_lookup);

// A segment's header: 255 entries and the checksum.
void segment_header_encode(benchmark::State& state) {
    const ArrayLayout layout = layout_8p2();
    Buffer memory(layout.header_blocks * kBlockBytes);
    SegmentHeader header(layout, memory.data());
    for (auto _ : state) {
        for (std::uint32_t slot = 0; slot < layout.slots_per_segment; ++slot) {
            header.set_entry(slot, Entry{EntryKind::data, Lba(slot * 7919), Version(slot), slot});
        }
        header.seal();
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * layout.slots_per_segment);
}
BENCHMARK(segment_header_encode);

}  // namespace
}  // namespace qlcshape
