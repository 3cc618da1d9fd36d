// SPDX-License-Identifier: Apache-2.0
// The page cache at its smallest, against a model of the table, on scm devices that answer late and
// in any order.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "base/random.h"
#include "pmt/page_cache.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// Memory that transfers only when it is told to.
class LateDevice final : public Device {
  public:
    explicit LateDevice(std::uint64_t bytes)
        : Device("late", Geometry{.capacity_bytes = bytes}), memory_(bytes) {}
    void start(Io& io, IoQueue& queue) override {
        ++(io.kind == IoKind::read ? reads : writes);
        waiting_.push_back(&io);
        queue_ = &queue;
        if (prompt) finish_one(0);
    }
    std::size_t waiting() const { return waiting_.size(); }
    void finish_one(std::size_t which) {
        Io& io = *waiting_[which];
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(which));
        const bool read = io.kind == IoKind::read;
        const bool failed = read ? fail_reads : fail_writes;
        std::byte* place = at(io.offset);
        if (!failed) std::memcpy(read ? io.data : place, read ? place : io.data, io.bytes);
        queue_->complete(io, failed ? EIO : 0);
    }
    std::byte* at(std::uint64_t offset) { return memory_.data() + offset; }

    bool prompt = false;
    bool fail_reads = false;
    bool fail_writes = false;
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;

  private:
    Buffer memory_;
    std::vector<Io*> waiting_;
    IoQueue* queue_ = nullptr;
};

ArrayContext context() {
    ArrayContext array;
    array = ArrayContext(small_layout({.strips_per_band = 64, .bands = 58, .scm_bytes = 16 * MiB}));
    Random random(1);
    array.array = Uuid::random(random);
    array.epoch = 3;
    return array;
}

using Page = std::vector<PmtEntry>;

struct Table;

// Asks for a page, and changes an entry of it when it comes.
struct Asker : PageWaiter {
    Table* table = nullptr;
    std::uint64_t number = 0;  // in the order of asking
    bool idle = true;
};

struct Table {
    ArrayContext array = context();
    LateDevice scm[2]{LateDevice(16 * MiB), LateDevice(16 * MiB)};
    IoQueue queue;
    Counters counters;
    TableBitmap bitmap{array.layout};
    std::unique_ptr<PageCache> cache;
    Random random{2};
    std::vector<Page> model;
    std::vector<std::uint64_t> last_served;  // by page
    std::vector<Asker> askers{200};
    std::uint64_t asked = 0;
    std::uint64_t served = 0;
    std::uint64_t nulls = 0;
    bool in_order = true;
    bool as_modelled = true;

    // Not `written`: what lies in the pages' places is of an earlier time.
    explicit Table(std::uint64_t sets, bool written = true) {
        array.scm = {&scm[0], &scm[1]};
        REQUIRE(array.layout.pmt_pages > 200);
        last_served.resize(array.layout.pmt_pages);
        for (std::uint64_t i = 0; i < array.layout.pmt_pages; ++i) {
            model.emplace_back(kPageEntries,
                               PmtEntry::make_unmapped(Unmapped::trimmed, Version(i)));
            encode_pmt_page(model[i].data(), PageId(i), array.array, 1, place(PageId(i)));
            if (written)
                bitmap.set_written(PageId(i));
            else
                model[i].assign(kPageEntries, PmtEntry{});
        }
        cache = std::make_unique<PageCache>(array, bitmap, sets, queue, counters);
        for (Asker& a : askers) {
            a.table = this;
            a.ready = [](PageWaiter& waiter, CachedPage* cached) {
                auto& asker = static_cast<Asker&>(waiter);
                asker.table->serve(asker, cached);
            };
        }
    }
    std::byte* place(PageId page) {
        return scm[array.layout.pmt_drive(page)].at(array.layout.pmt_page_offset(page));
    }
    void serve(Asker& asker, CachedPage* cached) {
        asker.idle = true;
        ++served;
        const std::uint64_t page = asker.page.value;
        in_order &= last_served[page] < asker.number;
        last_served[page] = asker.number;
        if (cached == nullptr) {
            ++nulls;
            return;
        }
        as_modelled &= std::memcmp(cached->entries, model[page].data(), kBlockBytes) == 0;
        if (random.chance(1, 3)) return;
        const std::uint64_t i = random.below(kPageEntries);
        model[page][i] = PmtEntry::make_unmapped(Unmapped::poisoned, Version(asker.number));
        cached->entries[i] = model[page][i];
        cached->dirty = true;
    }
    // False where all askers wait.
    bool ask(PageId page) {
        for (Asker& a : askers) {
            if (!a.idle) continue;
            a.idle = false;
            a.number = ++asked;
            a.page = page;
            if (CachedPage* cached = cache->get(page, a)) serve(a, cached);
            return true;
        }
        return false;
    }
    void finish_some() {
        for (LateDevice& device : scm) {
            if (device.waiting() != 0) device.finish_one(random.below(device.waiting()));
        }
        queue.poll();
        cache->poll();
    }
    void finish_all() {
        for (int i = 0; i < 100000 && served != asked; ++i) finish_some();
        REQUIRE(served == asked);
    }
    void flush() {
        int rounds = 0;
        while (!cache->flushed()) {
            finish_some();
            REQUIRE(++rounds < 10000);
        }
    }
    bool on_media_as_modelled() {
        Page page(kPageEntries);
        for (std::uint64_t i = 0; i < model.size(); ++i) {
            if (!bitmap.written(PageId(i))) {
                if (model[i] != Page(kPageEntries)) return false;
                continue;
            }
            if (!decode_pmt_page(place(PageId(i)), PageId(i), array.array, page.data()))
                return false;
            if (page != model[i]) return false;
        }
        return true;
    }
    std::uint64_t reads() const { return scm[0].reads + scm[1].reads; }
    std::uint64_t writes() const { return scm[0].writes + scm[1].writes; }
};

}  // namespace

TEST_CASE("page cache: random changes through a few ways agree with a model") {
    const std::uint64_t sets = GENERATE(1u, 7u);
    // Some pages are asked for much more often than others.
    const std::uint64_t hot = GENERATE(3u, 12u, 200u);
    const bool written = GENERATE(true, false);
    Table t(sets, written);
    INFO("sets " << sets << " hot " << hot << " written " << written);
    for (int i = 0; i < 3000; ++i) {
        const bool often = t.random.chance(2, 3);
        const PageId page(t.random.below(often ? hot : t.array.layout.pmt_pages));
        if (!t.ask(page) || t.random.chance(1, 2)) t.finish_some();
        if (i % 1000 == 999) {
            t.finish_all();
            t.flush();
            REQUIRE(t.on_media_as_modelled());
        }
    }
    t.finish_all();
    CHECK(t.in_order);
    CHECK(t.as_modelled);
    CHECK(t.nulls == 0);
    t.flush();
    CHECK(t.on_media_as_modelled());
    CHECK_FALSE(t.cache->failed());
    CHECK(t.counters.get(Counter::pmt_hits) + t.counters.get(Counter::pmt_misses) == t.asked);
    CHECK(t.counters.get(Counter::pmt_read_bytes) == t.reads() * kBlockBytes);
    CHECK(t.counters.get(Counter::pmt_written_bytes) == t.writes() * kBlockBytes);
    CHECK(t.writes() > 0);
    CHECK(t.queue.in_flight() == 0);
    // Once more there is nothing to write.
    const std::uint64_t before = t.writes();
    CHECK(t.cache->flushed());
    CHECK(t.writes() == before);
}

TEST_CASE("page cache: waiters of one page share a read and are served in order") {
    Table t(1);
    for (int i = 0; i < 5; ++i) t.ask(PageId(9));
    CHECK(t.served == 0);
    CHECK(t.reads() == 1);
    t.finish_all();
    CHECK(t.in_order);
    CHECK(t.reads() == 1);
    CHECK(t.counters.get(Counter::pmt_misses) == 5);
    t.ask(PageId(9));
    CHECK(t.served == 6);
    CHECK(t.counters.get(Counter::pmt_hits) == 1);
}

TEST_CASE("page cache: a page that was never written is there at once, with nothing in it") {
    Table t(1, false);
    Asker asker;
    CachedPage* cached = t.cache->get(PageId(9), asker);
    REQUIRE(cached != nullptr);
    CHECK(std::all_of(cached->entries, cached->entries + kPageEntries,
                      [](PmtEntry e) { return e == PmtEntry{}; }));
    CHECK(t.reads() == 0);
    CHECK(t.counters.get(Counter::pmt_misses) == 1);
    // It counts as written when its write has ended, and not before.
    cached->entries[3] = t.model[9][3] = PmtEntry::make_unmapped(Unmapped::trimmed, Version(5));
    cached->dirty = true;
    CHECK_FALSE(t.cache->flushed());
    REQUIRE(t.writes() == 1);
    CHECK_FALSE(t.bitmap.written(PageId(9)));
    t.flush();
    CHECK(t.bitmap.written(PageId(9)));
    CHECK_FALSE(t.bitmap.written(PageId(8)));
    CHECK(t.on_media_as_modelled());
}

TEST_CASE("page cache: a first write that the drive lost is detected, whatever lay there") {
    // As an earlier epoch may have left it: written once, and never counted.
    Table t(1, false);
    t.array.epoch = 7;
    Asker asker;
    const std::byte* const place = t.place(PageId(8));
    const std::vector<std::byte> before(place, place + kBlockBytes);
    t.cache->get(PageId(8), asker)->dirty = true;
    t.flush();
    std::ranges::copy(before, t.place(PageId(8)));
    for (std::uint64_t i = 0; i < PageCache::kWays; ++i) t.cache->get(PageId(16 + i), asker);
    t.ask(PageId(8));
    t.finish_all();
    CHECK(t.nulls == 1);
    CHECK(t.cache->met_damage());
}

TEST_CASE("page cache: more pages wanted at once than there are ways or transfers") {
    const std::uint64_t sets = GENERATE(1u, 16u);
    Table t(sets);
    for (std::uint64_t i = 0; i < 100; ++i) {
        t.ask(PageId(2 * i));
        t.ask(PageId(2 * (i / 2)));
    }
    CHECK(t.scm[0].waiting() + t.scm[1].waiting() <= PageCache::kTransfers);
    t.finish_all();
    CHECK(t.in_order);
    CHECK(t.as_modelled);
    t.flush();
    CHECK(t.on_media_as_modelled());
}

TEST_CASE("page cache: the page used longest ago makes room") {
    Table t(1);
    t.scm[0].prompt = t.scm[1].prompt = true;
    Asker asker;
    asker.ready = [](PageWaiter&, CachedPage*) {};  // changes nothing: all pages stay clean
    auto get = [&](std::uint64_t page) {
        const bool hit = t.cache->get(PageId(page), asker) != nullptr;
        t.queue.poll();
        t.cache->poll();
        return hit;
    };
    for (std::uint64_t page = 0; page < 8; ++page) CHECK_FALSE(get(page));
    for (std::uint64_t page = 0; page < 8; ++page) CHECK(get(page));
    CHECK(get(0));
    CHECK_FALSE(get(8));  // in the place of 1
    CHECK(get(0));
    CHECK(get(2));
    CHECK_FALSE(get(1));
    CHECK_FALSE(get(3));
    CHECK(t.writes() == 0);
}

TEST_CASE("page cache: a damaged page is null to all its waiters and others are not touched") {
    Table t(1);
    t.place(PageId(5))[100] ^= std::byte{4};
    for (int i = 0; i < 3; ++i) {
        t.ask(PageId(5));
        t.ask(PageId(6));
    }
    t.finish_all();
    CHECK(t.nulls == 3);
    CHECK(t.as_modelled);
    // Nothing of it stays: mended on media it is good again.
    t.place(PageId(5))[100] ^= std::byte{4};
    t.ask(PageId(5));
    t.finish_all();
    CHECK(t.nulls == 3);
    CHECK(t.as_modelled);
    CHECK(t.counters.get(Counter::io_errors) == 0);
}

TEST_CASE("page cache: another page in a page's place is null") {
    Table t(1);
    std::memcpy(t.place(PageId(4)), t.place(PageId(6)), kBlockBytes);
    t.ask(PageId(4));
    t.finish_all();
    CHECK(t.nulls == 1);
}

TEST_CASE("page cache: a page that can't be read is null") {
    Table t(1);
    t.scm[0].fail_reads = true;
    t.ask(PageId(2));
    t.ask(PageId(3));
    t.finish_all();
    CHECK(t.nulls == 1);
    CHECK(t.counters.get(Counter::io_errors) == 1);
    t.scm[0].fail_reads = false;
    t.ask(PageId(2));
    t.finish_all();
    CHECK(t.nulls == 1);
    CHECK_FALSE(t.cache->failed());
}

TEST_CASE("page cache: a write-back that fails is told") {
    Table t(1, false);
    for (int i = 0; i < 20; ++i) t.ask(PageId(0));
    t.finish_all();
    CHECK_FALSE(t.cache->failed());
    t.scm[0].fail_writes = true;
    t.flush();
    CHECK(t.cache->failed());
    CHECK_FALSE(t.bitmap.written(PageId(0)));
    CHECK(t.counters.get(Counter::io_errors) == 1);
}

TEST_CASE("page cache: its memory is what its sets need and a little more") {
    const Table t(4);
    CHECK(t.cache->memory_bytes() >= 4 * PageCache::kSetBytes);
    CHECK(t.cache->memory_bytes() <=
          4 * PageCache::kSetBytes + PageCache::kTransfers * kBlockBytes + 64 * KiB);
}

TEST_CASE("page cache: a sweep writes all that was dirty, beside everything else") {
    const std::uint64_t sets = GENERATE(1u, 7u);
    Table t(sets);
    std::vector<Page> at_begin;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 300; ++i) {
            if (!t.ask(PageId(t.random.below(60)))) t.finish_some();
        }
        t.finish_all();
        at_begin = t.model;
        t.cache->begin_sweep();
        std::uint64_t asked_on = 0;
        for (int i = 0; !t.cache->sweep(); ++i) {
            REQUIRE(i < 100000);
            if (asked_on < 50 && t.ask(PageId(t.random.below(60)))) ++asked_on;
            t.finish_some();
        }
        // Each entry is on media as it was when the sweep began, or newer.
        Page page(kPageEntries);
        for (std::uint64_t i = 0; i < 60; ++i) {
            REQUIRE(decode_pmt_page(t.place(PageId(i)), PageId(i), t.array.array, page.data()));
            for (std::uint32_t j = 0; j < kPageEntries; ++j) {
                REQUIRE((page[j] == at_begin[i][j] || page[j] == t.model[i][j] ||
                         page[j].version() > at_begin[i][j].version()));
            }
        }
    }
    t.finish_all();
}

TEST_CASE("page cache: a write that the drive lost is seen when the page comes back") {
    Table t(1);
    for (int i = 0; i < 50; ++i) t.ask(PageId(0));
    t.finish_all();
    std::vector<std::byte> before(t.place(PageId(0)), t.place(PageId(0)) + kBlockBytes);
    t.flush();
    REQUIRE(std::memcmp(before.data(), t.place(PageId(0)), kBlockBytes) != 0);
    std::memcpy(t.place(PageId(0)), before.data(), kBlockBytes);  // whole, but old
    for (std::uint64_t page = 1; page < 40; ++page) {
        t.ask(PageId(page));
        t.finish_all();
    }
    CHECK_FALSE(t.cache->met_damage());
    t.ask(PageId(0));
    t.finish_all();
    CHECK(t.nulls == 1);
    CHECK(t.cache->met_damage());
}

TEST_CASE("page cache: a sweep writes a page once more that changed while it was written") {
    Table t(1);
    for (int i = 0; i < 20; ++i) t.ask(PageId(0));
    t.finish_all();
    REQUIRE_FALSE(t.cache->flushed());  // its write is under way
    for (int i = 0; i < 20; ++i) t.ask(PageId(0));
    const Page at_begin = t.model[0];
    t.cache->begin_sweep();
    for (int i = 0; !t.cache->sweep(); ++i) {
        REQUIRE(i < 1000);
        t.finish_some();
    }
    Page page(kPageEntries);
    REQUIRE(decode_pmt_page(t.place(PageId(0)), PageId(0), t.array.array, page.data()));
    CHECK(page == at_begin);
}

TEST_CASE("page cache: a sweep of many sets ends when the last write has") {
    Table t(4096 / PageCache::kWays);                // as many ways as one call looks at
    const std::uint64_t pages = GENERATE(3u, 100u);  // all written at once, or not
    for (std::uint64_t i = 0; i < pages; ++i) t.ask(PageId(i));
    t.finish_all();
    for (std::uint64_t i = 0; i < pages; ++i) t.ask(PageId(i));
    t.finish_all();
    t.cache->begin_sweep();
    for (int i = 0; i < 5; ++i) CHECK_FALSE(t.cache->sweep());
    for (int i = 0; !t.cache->sweep(); ++i) {
        REQUIRE(i < 1000);
        t.finish_some();
    }
    CHECK(t.on_media_as_modelled());
}

TEST_CASE("page cache: a patch is applied once, to the page as it first comes") {
    Table t(1);
    std::vector<Patch> patches;
    for (const std::uint64_t page : {0u, 3u}) {
        for (std::uint32_t i = 0; i < kPageEntries; ++i) {
            t.model[page][i] = PmtEntry::make_unmapped(Unmapped::trimmed, Version(7));
            patches.push_back({Lba(page * kPageEntries + i), t.model[page][i]});
        }
    }
    t.cache->set_patches(patches);
    CHECK(t.cache->patches_left() == 2);
    for (int round = 0; round < 3; ++round) {
        for (std::uint64_t page = 0; page < 60; ++page) {
            for (int i = 0; i < 3; ++i) t.ask(PageId(page));
            t.finish_all();
        }
        CHECK(t.as_modelled);
        CHECK(t.cache->patches_left() == 0);
    }
    t.flush();
    CHECK(t.on_media_as_modelled());
}

TEST_CASE("page cache: patches come once, also while others are still to come, and are written") {
    Table t(1);
    std::vector<Patch> patches;
    constexpr std::uint64_t kAlone = 199;  // that nobody asks for
    for (const std::uint64_t page : {std::uint64_t{0}, kAlone}) {
        for (std::uint32_t i = 0; i < kPageEntries; ++i) {
            t.model[page][i] = PmtEntry::make_unmapped(Unmapped::trimmed, Version(7));
            patches.push_back({Lba(page * kPageEntries + i), t.model[page][i]});
        }
    }
    t.cache->set_patches(patches);
    for (int round = 0; round < 3; ++round) {
        for (std::uint64_t page = 0; page < 40; ++page) {
            for (int i = 0; i < 30; ++i) t.ask(PageId(page % 20));
            t.finish_all();
        }
    }
    CHECK(t.cache->patches_left() == 1);
    while (t.cache->fetch_patched()) t.finish_some();
    for (int i = 0; i < 10; ++i) t.finish_some();
    CHECK(t.cache->patches_left() == 0);
    t.flush();
    CHECK(t.as_modelled);
    CHECK(t.on_media_as_modelled());
}
