// SPDX-License-Identifier: Apache-2.0
// The part of the PMT's page cache that one shard owns: 8-way set-associative, write-back.
//
// Runs only on the shard's thread; GC reaches it by messages to the shard. Pages are never pinned:
// who gets one uses it at once and releases it, so the cache works with a single set. Waiters for
// the same page are served in the order in which they asked; publication depends on it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/counters.h"
#include "base/fifo.h"
#include "format/pmt_page.h"
#include "placement/array_context.h"
#include "pmt/page_patches.h"
#include "pmt/table_bitmap.h"

namespace qlcshape {

// One page in DRAM. Entries may be changed by whoever was just given the page; then set `dirty`.
struct CachedPage {
    PmtEntry* entries = nullptr;
    bool dirty = false;
};

struct PageWaiter {
    PageId page;
    // From IoQueue::poll() or PageCache::poll(); must not call get(), which could overtake others.
    // `cached` is null if the page is damaged or can't be read.
    void (*ready)(PageWaiter&, CachedPage* cached) = nullptr;
    void* owner = nullptr;  // who waits: for `ready`
    PageWaiter* next = nullptr;
};

class PageCache {
  public:
    static constexpr std::uint32_t kWays = 8;
    static constexpr std::uint32_t kTransfers = 32;      // page reads and writes in flight at once
    static constexpr std::uint32_t kSweepTransfers = 4;  // besides, for snapshots alone
    static constexpr std::uint64_t kSetBytes = std::uint64_t{kWays} * kBlockBytes;

    PageCache(const ArrayContext& array, TableBitmap& bitmap, std::uint64_t sets, IoQueue& queue,
              Counters& counters);
    ~PageCache();

    // The page, if it is in DRAM or was never written; otherwise null, and `waiter` is called when
    // it is in DRAM. A waiter belongs to the cache until then.
    CachedPage* get(PageId page, PageWaiter& waiter);

    // The page, if it is in DRAM; otherwise null, and nothing is fetched.
    CachedPage* resident(PageId page);

    // The entry will be needed soon: prefetches it, if its page is in DRAM.
    void prefetch(Lba lba) const {
        const std::uint64_t first = first_way(page_of(lba));
        for (std::uint64_t i = first; i < first + kWays; ++i) {
            if (tags_[i] != page_of(lba).value) continue;
            __builtin_prefetch(&ways_[i].cached.entries[lba.value % kPageEntries], 1);
            __builtin_prefetch(&ways_[i], 1);
        }
    }
    void prefetch_set(Lba lba) const { __builtin_prefetch(&tags_[first_way(page_of(lba))]); }

    // Retries what waits for a way or a transfer. True if anything happened.
    bool poll();

    // Writes back dirty pages; false while there are any left. Then the drives still need a flush.
    bool flushed();

    // Set-up. What must be entered into pages when they are first read; and the reading of pages
    // that no request needs, some at a time. While any are left no snapshot can be taken.
    void set_patches(std::vector<Patch> patches) { patches_ = PagePatches(std::move(patches)); }
    // Of an array that is open read-only: they are entered each time that a page is read, and never
    // written. `whole`: they are all of the table, and what is on SCM does not count.
    void set_read_only(std::vector<Patch> patches, bool whole) {
        set_patches(std::move(patches));
        read_only_ = true;
        whole_ = whole;
    }
    bool fetch_patched();
    std::uint64_t patches_left() const { return patches_.pages_left(); }

    // For a snapshot, alongside everything else: each page that is dirty now is written back. Call
    // sweep() again and again until it is true; then the drives still need a flush.
    void begin_sweep() { sweep_cursor_ = 0; }
    bool sweep();

    // For an SCM drive that gets what is written from now on: each page of which it is to have a
    // copy is written once more, to that drive alone where the page is as it is on media. Call
    // rewrite() again and again until it is true; what is dirty then is written by the next sweep.
    // Waits until no patches are left.
    void begin_rewrite(std::uint32_t shard, std::uint32_t drive);
    bool rewrite();
    double share_rewritten() const;  // how far it is, and how many pages were written for it
    std::uint64_t pages_rewritten() const { return pages_rewritten_; }

    // A write-back failed: the table on SCM is no longer complete, and must be rebuilt at the next
    // opening.
    bool failed() const { return failed_; }

    // A page was damaged, or could not be read.
    bool met_damage() const { return met_damage_; }

    std::uint64_t memory_bytes() const;

  private:
    enum class State : std::uint8_t { empty, loading, resident };
    struct Way {
        PageId page;
        State state = State::empty;
        bool writing = false;
        bool serving = false;  // its waiters are being called
        std::uint64_t used = 0;
        std::uint32_t generation = 0;  // on media
        CachedPage cached;
        Fifo<PageWaiter> waiters;
    };
    struct Transfer {
        PageCache* cache = nullptr;
        Fifo<Transfer>* idle = nullptr;  // where it goes when it is done
        Way* way = nullptr;
        std::byte* block = nullptr;
        Buffer own;                             // in place of a block that a drive may still use
        std::array<Io, kMaxPmtCopies + 1> ios;  // to write them; a read uses one after the other
        std::uint32_t copy = 0;                 // being read
        std::uint32_t pending = 0;
        bool failed = false;  // one of them
        bool kept = false;    // the block, by a drive
        Transfer* next = nullptr;
    };

    std::uint64_t first_way(PageId page) const;
    Way* set_of(PageId page) { return &ways_[first_way(page)]; }
    Way* find(Way* set, PageId page);
    void set_state(Way& way, State state);
    Way* fill(Way* set, PageId page);
    bool on_media(PageId page) const { return !whole_ && bitmap_.written(page); }
    bool start_load(Way* set, PageWaiter& waiter);
    Way* claim_way(Way* set);
    void load(Way& way, PageId page);
    bool write_back(Way& way, Fifo<Transfer>& idle);
    bool read_copy(Transfer& transfer);
    void write_copies(Way& way, Transfer& transfer, bool everywhere);
    bool decode(Transfer& transfer);
    void loaded(Transfer& transfer, const Io& io);
    void release(Transfer& transfer);
    static void leave_block(Transfer& transfer);
    void patch(Way& way);
    // What `written_` says of a page of this generation.
    static std::uint8_t tag_of(std::uint32_t generation) {
        return static_cast<std::uint8_t>(1 + generation % 255);
    }
    std::uint8_t& written_tag(PageId page) { return written_[page.value / array_.shards]; }
    void written(Transfer& transfer);
    void serve(Way& way, CachedPage* cached);
    bool retry_stalled();

    const ArrayContext& array_;
    TableBitmap& bitmap_;
    IoQueue& queue_;
    Counters& counters_;
    std::uint64_t sets_;
    // By page: what was last written here, 0 if nothing was. A drive that lost the write is
    // detected.
    std::vector<std::uint8_t> written_;
    Buffer entries_;
    Buffer blocks_;
    static constexpr std::uint64_t kNoPage = UINT64_MAX;
    std::vector<std::uint64_t> tags_;  // by way: its page, kNoPage where it is empty
    std::vector<Way> ways_;
    std::vector<Transfer> transfers_;
    Fifo<Transfer> idle_transfers_;
    Fifo<Transfer> idle_sweeps_;
    PagePatches patches_;
    static constexpr std::uint32_t kFetches = 8;
    struct Fetch : PageWaiter {
        bool busy = false;
    };
    void write_once_more(PageId page, bool read_for_it);
    std::array<Fetch, kFetches> fetches_;  // of patched pages, later of those written once more
    Fifo<PageWaiter> stalled_;             // need a way or a transfer that is not free now
    std::uint64_t tick_ = 0;
    std::uint64_t flush_cursor_ = 0;
    std::uint64_t sweep_cursor_ = 0;
    std::uint64_t rewrite_next_ = UINT64_MAX;  // page
    std::uint32_t rewrite_drive_ = 0;
    std::uint64_t pages_rewritten_ = 0;
    std::uint32_t transfers_busy_ = 0;
    bool changed_ = false;  // a way or a transfer came free since stalled_ was last tried
    bool serving_ = false;
    bool failed_ = false;
    bool met_damage_ = false;
    bool read_only_ = false;
    bool whole_ = false;
};

}  // namespace qlcshape
