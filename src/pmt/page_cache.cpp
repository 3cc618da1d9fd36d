// SPDX-License-Identifier: Apache-2.0
#include "pmt/page_cache.h"

#include <algorithm>

#include "base/assert.h"
#include "base/canary.h"
#include "base/probe.h"

namespace qlcshape {

PageCache::PageCache(const ArrayContext& array, TableBitmap& bitmap, std::uint64_t sets,
                     IoQueue& queue, Counters& counters)
    : array_(array),
      bitmap_(bitmap),
      queue_(queue),
      counters_(counters),
      sets_(sets),
      written_(div_up(array.layout.pmt_pages, array.shards)),
      entries_(sets * kSetBytes),
      blocks_(std::size_t{kTransfers + kSweepTransfers} * kBlockBytes),
      tags_(sets * kWays, kNoPage),
      ways_(sets * kWays),
      transfers_(kTransfers + kSweepTransfers) {
    QS_ASSERT(sets > 0);
    for (std::size_t i = 0; i < ways_.size(); ++i) {
        ways_[i].cached.entries = reinterpret_cast<PmtEntry*>(entries_.data() + i * kBlockBytes);
    }
    for (std::size_t i = 0; i < transfers_.size(); ++i) {
        transfers_[i].cache = this;
        transfers_[i].block = blocks_.data() + i * kBlockBytes;
        transfers_[i].idle = i < kTransfers ? &idle_transfers_ : &idle_sweeps_;
        transfers_[i].idle->push_back(transfers_[i]);
    }
}

PageCache::~PageCache() = default;

std::uint64_t PageCache::memory_bytes() const {
    return patches_.memory_bytes() + written_.size() + entries_.size() + blocks_.size() +
           ways_.size() * (sizeof(Way) + sizeof(tags_[0])) + transfers_.size() * sizeof(Transfer);
}

std::uint64_t PageCache::first_way(PageId page) const {
    // Pages of one shard are `shards` apart; mix, so that volumes of regular sizes spread over the
    // sets.
    const std::uint64_t mixed = page.value / array_.shards * 0x9e3779b97f4a7c15;
    const std::uint64_t set = (mixed >> 32) * sets_ >> 32;
    return set * kWays;
}

PageCache::Way* PageCache::find(Way* set, PageId page) {
    const std::uint64_t* tags = &tags_[static_cast<std::size_t>(set - ways_.data())];
    for (std::uint32_t i = 0; i < kWays; ++i) {
        if (tags[i] == page.value) return &set[i];
    }
    return nullptr;
}

void PageCache::set_state(Way& way, State state) {
    way.state = state;
    tags_[static_cast<std::size_t>(&way - ways_.data())] =
        state == State::empty ? kNoPage : way.page.value;
}

CachedPage* PageCache::get(PageId page, PageWaiter& waiter) {
    QS_ASSERT(!serving_);
    if (CachedPage* cached = resident(page)) return cached;
    Way* set = set_of(page);
    Way* way = find(set, page);
    counters_.add(Counter::pmt_misses, 1);
    QS_PROBE(pmt_miss, page.value);
    waiter.page = page;
    if (way != nullptr) {
        way->waiters.push_back(waiter);
        return nullptr;
    }
    if (stalled_.empty()) {
        if (!on_media(page)) {
            if (Way* const filled = fill(set, page)) return &filled->cached;
        } else if (start_load(set, waiter)) {
            return nullptr;
        }
    }
    stalled_.push_back(waiter);
    return nullptr;
}

CachedPage* PageCache::resident(PageId page) {
    Way* way = find(set_of(page), page);
    if (way == nullptr || way->state != State::resident) return nullptr;
    counters_.add(Counter::pmt_hits, 1);
    way->used = ++tick_;
    return &way->cached;
}

// Nothing but the patches: the page was never written, or what is on SCM does not count.
// Null if it has to wait for a way.
PageCache::Way* PageCache::fill(Way* set, PageId page) {
    Way* way = claim_way(set);
    if (way == nullptr) return nullptr;
    way->page = page;
    way->used = ++tick_;
    way->generation = array_.first_generation();
    way->cached.dirty = false;
    set_state(*way, State::resident);
    std::fill_n(way->cached.entries, kPageEntries, PmtEntry{});
    patch(*way);
    return way;
}

// False if it has to wait for a way or a transfer.
bool PageCache::start_load(Way* set, PageWaiter& waiter) {
    if (idle_transfers_.empty()) return false;
    Way* way = claim_way(set);
    if (way == nullptr) return false;
    way->waiters.push_back(waiter);
    load(*way, waiter.page);
    return true;
}

// An empty way, or the least recently used clean one. If all are dirty the oldest is written back,
// and its way is free when that is done.
PageCache::Way* PageCache::claim_way(Way* set) {
    Way* clean = nullptr;
    Way* dirty = nullptr;
    for (std::uint32_t i = 0; i < kWays; ++i) {
        Way& w = set[i];
        if (w.state == State::empty) return &w;
        if (w.state != State::resident || w.writing || w.serving) continue;
        Way*& best = w.cached.dirty ? dirty : clean;
        if (best == nullptr || w.used < best->used) best = &w;
    }
    if (clean == nullptr && dirty != nullptr) write_back(*dirty, idle_transfers_);
    return clean;
}

void PageCache::load(Way& way, PageId page) {
    way.page = page;
    set_state(way, State::loading);
    way.cached.dirty = false;
    Transfer& transfer = idle_transfers_.pop_front();
    transfer.way = &way;
    transfer.copy = 0;
    transfer.failed = false;
    ++transfers_busy_;
    const bool any = read_copy(transfer);
    QS_ASSERT(any);  // there is a drive that is in for each page
}

// From the next drive that has one, `copy` and following; false if there is none. One may go out
// meanwhile: then the transfer fails.
bool PageCache::read_copy(Transfer& transfer) {
    for (; transfer.copy < array_.layout.p.pmt_copies; ++transfer.copy) {
        Io& io = transfer.ios[0];
        io = array_.pmt_io(IoKind::read, transfer.way->page, transfer.copy, transfer.block);
        if (io.device == nullptr) continue;
        io.context = &transfer;
        io.done = [](Io& done) {
            auto& t = *static_cast<Transfer*>(done.context);
            t.cache->loaded(t, done);
        };
        counters_.add(Counter::pmt_read_bytes, kBlockBytes);
        queue_.submit(io);
        return true;
    }
    return false;
}

bool PageCache::write_back(Way& way, Fifo<Transfer>& idle) {
    if (idle.empty()) return false;
    way.cached.dirty = false;
    ++way.generation;
    written_tag(way.page) = tag_of(way.generation);
    write_copies(way, idle.pop_front(), true);
    return true;
}

// `everywhere`: else as it is on media, to a drive that is coming.
void PageCache::write_copies(Way& way, Transfer& transfer, bool everywhere) {
    transfer.way = &way;
    way.writing = true;
    encode_pmt_page(way.cached.entries, way.page, array_.array, way.generation, transfer.block);
    ++transfers_busy_;
    transfer.failed = false;
    transfer.pending = 0;
    for (std::uint32_t copy = 0; copy < array_.layout.p.pmt_copies; ++copy) {
        Device* const coming = array_.coming_at(transfer.way->page, copy);
        Io io = array_.pmt_io(IoKind::write, transfer.way->page, copy, transfer.block,
                              PersistencePoint::pmt_write_back);
        io.context = &transfer;
        io.done = [](Io& done) {
            auto& t = *static_cast<Transfer*>(done.context);
            t.failed |= done.error_number != 0;
            t.kept |= done.kept;
            if (--t.pending == 0) t.cache->written(t);
        };
        const bool first_only = canary(Canary::one_copy_written) && transfer.pending != 0;
        if (io.device != nullptr && everywhere && !first_only)
            transfer.ios[transfer.pending++] = io;
        io.device = coming;
        if (io.device != nullptr) transfer.ios[transfer.pending++] = io;
    }
    counters_.add(Counter::pmt_written_bytes, transfer.pending * kBlockBytes);
    const std::uint32_t count = transfer.pending;
    if (count == 0) return written(transfer);  // it comes no more
    for (std::uint32_t i = 0; i < count; ++i) queue_.submit(transfer.ios[i]);
}

// What was read into the block. One of another generation than was last written is a write that the
// drive lost.
bool PageCache::decode(Transfer& transfer) {
    Way& way = *transfer.way;
    if (!array_.decode_page(transfer.block, way.page, way.cached.entries, way.generation))
        return false;
    const std::uint8_t tag = written_tag(way.page);
    return tag == 0 || tag == tag_of(way.generation);
}

// A page of which one copy is of no use is written again, to all drives.
void PageCache::loaded(Transfer& transfer, const Io& io) {
    Way& way = *transfer.way;
    if (io.kept) leave_block(transfer);
    const bool good = io.error_number == 0 && decode(transfer);
    if (io.error_number != 0) counters_.add(Counter::io_errors, 1);
    if (io.error_number == 0 && !good) io.device->count_mismatch(io.offset, 1);
    if (!good) {
        transfer.failed = true;
        ++transfer.copy;
        if (read_copy(transfer)) return;
    }
    met_damage_ |= !good;
    way.cached.dirty = good && transfer.failed && !read_only_;
    release(transfer);
    way.used = ++tick_;
    if (good) {
        set_state(way, State::resident);
        patch(way);
        serve(way, &way.cached);
    } else {
        serve(way, nullptr);
        set_state(way, State::empty);
    }
}

void PageCache::patch(Way& way) {
    if (read_only_) {
        for (const Patch& p : patches_.of(way.page))
            way.cached.entries[p.lba.value % kPageEntries] = p.entry;
        return;
    }
    for (const Patch& p : patches_.take(way.page)) {
        PmtEntry& entry = way.cached.entries[p.lba.value % kPageEntries];
        if (p.entry.mapped() && !entry.mapped()) counters_.add(Counter::used_blocks, 1);
        if (!p.entry.mapped() && entry.mapped()) counters_.subtract(Counter::used_blocks, 1);
        entry = p.entry;
        way.cached.dirty = true;
    }
}

// True if anything was submitted.
bool PageCache::fetch_patched() {
    bool any = false;
    for (Fetch& fetch : fetches_) {
        if (fetch.busy) continue;
        const auto page = patches_.next();
        if (!page) break;
        fetch.busy = true;
        fetch.ready = [](PageWaiter& waiter, CachedPage*) {
            static_cast<Fetch&>(waiter).busy = false;
        };
        if (get(*page, fetch) != nullptr) fetch.busy = false;
        any = true;
    }
    return any;
}

// What is on its way may be on its way to the others alone, and may be a page's first write.
void PageCache::begin_rewrite(std::uint32_t shard, std::uint32_t drive) {
    rewrite_next_ = shard;
    rewrite_drive_ = drive;
    pages_rewritten_ = 0;
    for (const Transfer& t : transfers_) {
        if (t.pending != 0) t.way->cached.dirty = true;
    }
}

// Few at a time: users' pages come first. Those that were read for this alone go first, too.
bool PageCache::rewrite() {
    constexpr int kPagesAtOnce = 4096;
    if (patches_left() != 0) return false;
    for (int i = 0; i < kPagesAtOnce && rewrite_next_ < array_.layout.pmt_pages; ++i) {
        const PageId page(rewrite_next_);
        if (on_media(page) && array_.layout.pmt_page_on(page, rewrite_drive_)) {
            const auto idle = std::ranges::find(fetches_, false, &Fetch::busy);
            if (idle == fetches_.end() || idle_sweeps_.empty()) return false;
            idle->busy = true;
            idle->owner = this;
            idle->ready = [](PageWaiter& waiter, CachedPage* cached) {
                auto& done = static_cast<Fetch&>(waiter);
                done.busy = false;
                if (cached != nullptr)
                    static_cast<PageCache*>(done.owner)->write_once_more(done.page, true);
            };
            if (get(page, *idle) != nullptr) {
                idle->busy = false;
                write_once_more(page, false);
            }
        }
        rewrite_next_ += array_.shards;
    }
    return rewrite_next_ >= array_.layout.pmt_pages && std::ranges::none_of(fetches_, &Fetch::busy);
}

double PageCache::share_rewritten() const {
    const std::uint64_t pages = array_.layout.pmt_pages;
    return static_cast<double>(std::min(rewrite_next_, pages)) / static_cast<double>(pages);
}

// One that is not dirty is not written to the drives that have it: a cut in that would leave copies
// of other generations, of a page that no recovery looks at.
void PageCache::write_once_more(PageId page, bool read_for_it) {
    Way& way = *find(set_of(page), page);
    ++pages_rewritten_;
    if (read_for_it) way.used = 0;
    way.cached.dirty |= way.writing || idle_sweeps_.empty();
    if (way.writing) return;
    if (way.cached.dirty)
        write_back(way, idle_sweeps_);
    else
        write_copies(way, idle_sweeps_.pop_front(), false);
}

void PageCache::written(Transfer& transfer) {
    if (transfer.failed) {
        counters_.add(Counter::io_errors, 1);
        failed_ = true;
    } else {
        bitmap_.set_written(transfer.way->page);
    }
    transfer.way->writing = false;
    if (std::exchange(transfer.kept, false)) leave_block(transfer);
    release(transfer);
}

// To a drive that may still use it.
void PageCache::leave_block(Transfer& transfer) {
    transfer.own = Buffer(kBlockBytes);
    transfer.block = transfer.own.data();
}

void PageCache::release(Transfer& transfer) {
    --transfers_busy_;
    transfer.idle->push_back(transfer);
    changed_ = true;
}

void PageCache::serve(Way& way, CachedPage* cached) {
    way.serving = serving_ = true;
    Fifo<PageWaiter> waiters = way.waiters.take();
    while (!waiters.empty()) {
        PageWaiter& waiter = waiters.pop_front();
        waiter.ready(waiter, cached);
    }
    way.serving = serving_ = false;
}

// Tries each stalled waiter in order. One that can't continue stays, and with it all later ones of
// its page, because nothing that they need becomes free in between.
bool PageCache::retry_stalled() {
    Fifo<PageWaiter> waiting = stalled_.take();
    bool any = false;
    Fifo<PageWaiter> still;
    while (!waiting.empty()) {
        PageWaiter& waiter = waiting.pop_front();
        Way* set = set_of(waiter.page);
        Way* way = find(set, waiter.page);
        if (way == nullptr && !on_media(waiter.page)) way = fill(set, waiter.page);
        if (way == nullptr) {
            if (on_media(waiter.page) && start_load(set, waiter))
                any = true;
            else
                still.push_back(waiter);
        } else if (way->state == State::loading) {
            way->waiters.push_back(waiter);
        } else {
            way->waiters.push_back(waiter);
            serve(*way, &way->cached);
            any = true;
        }
    }
    stalled_ = still;
    return any;
}

bool PageCache::poll() {
    if (!changed_ || stalled_.empty()) return false;
    changed_ = false;
    return retry_stalled();
}

// First the dirty ones, then once more around, until none of those writes is in flight.
bool PageCache::sweep() {
    constexpr std::uint64_t kWaysAtOnce = 4096;
    const std::uint64_t end =
        std::min<std::uint64_t>(2 * ways_.size(), sweep_cursor_ + kWaysAtOnce);
    for (; sweep_cursor_ < end; ++sweep_cursor_) {
        Way& way = ways_[sweep_cursor_ % ways_.size()];
        if (way.writing) {
            // Already in flight. If it was changed since, it must be written once more.
            if (sweep_cursor_ >= ways_.size() || way.cached.dirty) return false;
        } else if (sweep_cursor_ < ways_.size() && way.state == State::resident &&
                   way.cached.dirty) {
            if (!write_back(way, idle_sweeps_)) return false;
        }
    }
    return sweep_cursor_ == 2 * ways_.size();
}

bool PageCache::flushed() {
    for (; flush_cursor_ < ways_.size(); ++flush_cursor_) {
        Way& way = ways_[flush_cursor_];
        if (way.writing) return false;
        if (way.state == State::resident && way.cached.dirty && !write_back(way, idle_transfers_))
            return false;
    }
    if (transfers_busy_ != 0) return false;
    flush_cursor_ = 0;
    return true;
}

}  // namespace qlcshape
