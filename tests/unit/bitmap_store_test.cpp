// SPDX-License-Identifier: Apache-2.0
// The bitmap of the table on two scm drives: any whole copy of a page of bits will do.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "meta/bitmap_store.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// Two drives of memory.
class MemoryDrive final : public Device {
  public:
    explicit MemoryDrive(std::uint64_t size)
        : Device("scm", Geometry{.capacity_bytes = size, .volatile_cache = true}), bytes(size) {}
    void start(Io& io, IoQueue& queue) override {
        if (io.kind == IoKind::write) {
            offsets.push_back(io.offset);
            std::memcpy(bytes.data() + io.offset, io.data, io.bytes);
        } else if (io.kind == IoKind::flush) {
            offsets.push_back(kFlush);
        } else {
            std::memcpy(io.data, bytes.data() + io.offset, io.bytes);
        }
        const bool hit =
            io.kind == IoKind::read && unreadable >= io.offset && unreadable < io.offset + io.bytes;
        queue.complete(io, hit ? EIO : 0);
    }
    static constexpr std::uint64_t kFlush = UINT64_MAX;
    Buffer bytes;
    std::vector<std::uint64_t> offsets;  // of writes, in order; kFlush: a flush
    std::uint64_t unreadable = UINT64_MAX;
};

struct Bitmap {
    ArrayContext array;
    MemoryDrive scm[2]{MemoryDrive(64 * MiB), MemoryDrive(64 * MiB)};
    IoQueue queue;

    Bitmap() {
        array.layout = small_layout({.strips_per_band = 64, .bands = 58, .scm_bytes = 64 * MiB});
        array.layout.bitmap_pages = 3;  // of a larger table
        Random random(1);
        array.array = Uuid::random(random);
        array.scm = {&scm[0], &scm[1]};
        TableBitmap empty(array.layout);
        for (std::uint64_t page = 0; page < 3; ++page) empty.set_changed(page);
        BitmapWriter writer(array, empty, std::vector<std::uint64_t>(3));
        REQUIRE(write_bitmap(array, writer, queue));
    }
    struct Loaded {
        TableBitmap bitmap;
        LoadedBitmap found;
    };
    std::unique_ptr<Loaded> load() {
        auto loaded = std::make_unique<Loaded>(TableBitmap(array.layout), LoadedBitmap{});
        loaded->found = load_bitmap(array, loaded->bitmap, queue);
        for (MemoryDrive& drive : scm) drive.offsets.clear();
        return loaded;
    }
    Status write(Loaded& loaded) {
        BitmapWriter writer(array, loaded.bitmap, loaded.found.generations);
        return write_bitmap(array, writer, queue);
    }
    void set(std::initializer_list<std::uint64_t> pages) {
        const auto loaded = load();
        for (const std::uint64_t page : pages) loaded->bitmap.set_written(PageId(page));
        REQUIRE(write(*loaded));
    }
    std::byte* copy(std::size_t drive, std::uint64_t page, std::uint64_t place) {
        return scm[drive].bytes.data() + array.layout.bitmap_page_offset(page, place);
    }
    bool settled() {
        const auto loaded = load();
        REQUIRE(write(*loaded));
        return scm[0].offsets.empty();
    }
};

constexpr std::uint64_t kSecond = kBitmapPageBits;  // the first bit of page 1

}  // namespace

TEST_CASE("bitmap store: bits come back, and only pages with new ones are written, twice") {
    Bitmap b;
    const auto loaded = b.load();
    CHECK(loaded->found.lost.empty());
    for (const std::uint64_t page : {std::uint64_t{0}, std::uint64_t{63}, kSecond + 64})
        loaded->bitmap.set_written(PageId(page));
    REQUIRE(b.write(*loaded));
    // Page 0 and page 1 to one place, flush, to the other, flush; the pages that the bits are of
    // were flushed before.
    const ArrayLayout& l = b.array.layout;
    const std::uint64_t first = loaded->found.generations[0] + 1;
    const std::uint64_t flush = MemoryDrive::kFlush;
    for (const MemoryDrive& drive : b.scm) {
        CHECK(drive.offsets ==
              std::vector<std::uint64_t>{
                  flush, l.bitmap_page_offset(0, first), l.bitmap_page_offset(1, first), flush,
                  l.bitmap_page_offset(0, first + 1), l.bitmap_page_offset(1, first + 1), flush});
    }
    const auto again = b.load();
    std::uint64_t set = 0;
    for (std::uint64_t page = 0; page < 3 * kBitmapPageBits; ++page)
        set += again->bitmap.written(PageId(page));
    CHECK(set == 3);
    CHECK(again->bitmap.written(PageId(63)));
    CHECK(again->bitmap.written(PageId(kSecond + 64)));
    CHECK(b.settled());
}

TEST_CASE("bitmap store: any whole copy has all bits, and the others are written again") {
    Bitmap b;
    b.set({5});
    b.set({6, kSecond});
    const std::uint64_t left = GENERATE(0u, 1u, 2u, 3u);
    for (std::uint64_t i = 0; i < 4; ++i) {
        if (i != left) b.copy(i / 2, 0, i % 2)[100 + i] ^= std::byte{1};
    }
    const auto loaded = b.load();
    CHECK(loaded->found.lost.empty());
    CHECK(loaded->bitmap.written(PageId(5)));
    CHECK(loaded->bitmap.written(PageId(6)));
    CHECK(loaded->bitmap.written(PageId(kSecond)));
    REQUIRE(b.write(*loaded));
    b.copy(left / 2, 0, left % 2)[7] ^= std::byte{1};
    CHECK(b.load()->bitmap.written(PageId(6)));
    CHECK_FALSE(b.settled());
    CHECK(b.settled());
}

TEST_CASE("bitmap store: a write that the power cut off leaves the bits before, or has the new") {
    Bitmap b;
    b.set({5});
    const auto loaded = b.load();
    const std::uint64_t generation = loaded->found.generations[0] + 1;
    loaded->bitmap.set_written(PageId(6));
    BitmapWriter writer(b.array, loaded->bitmap, loaded->found.generations);
    writer.begin();
    REQUIRE(writer.take());
    REQUIRE(run(b.queue, writer.write(PersistencePoint::table_bits_write)));
    SECTION("whole on one drive") {
        std::memset(b.copy(1, 0, generation & 1), 0, 2048);
        CHECK(b.load()->bitmap.written(PageId(6)));
    }
    SECTION("torn on both") {
        for (std::size_t drive = 0; drive < 2; ++drive)
            std::memset(b.copy(drive, 0, generation & 1), 0, 2048);
        CHECK_FALSE(b.load()->bitmap.written(PageId(6)));
    }
    const auto after = b.load();
    CHECK(after->found.lost.empty());
    CHECK(after->bitmap.written(PageId(5)));
    CHECK_FALSE(b.settled());
    CHECK(b.settled());
}

TEST_CASE("bitmap store: a page of bits that is whole nowhere is lost, and no other") {
    Bitmap b;
    b.set({5, kSecond + 1, 2 * kSecond + 2});
    SECTION("damaged") {
        for (std::size_t i = 0; i < 4; ++i) b.copy(i / 2, 1, i % 2)[i] ^= std::byte{1};
    }
    SECTION("another array's") {
        BitmapPage other(b.copy(0, 1, 0));
        other.seal(Uuid{}, 1, 99);
        for (std::size_t i = 1; i < 4; ++i)
            std::memcpy(b.copy(i / 2, 1, i % 2), b.copy(0, 1, 0), kBlockBytes);
    }
    SECTION("another page's") {
        for (std::size_t i = 0; i < 4; ++i)
            std::memcpy(b.copy(i / 2, 1, i % 2), b.copy(0, 0, 0), kBlockBytes);
    }
    const auto loaded = b.load();
    CHECK(loaded->found.lost == std::vector<std::uint64_t>{1});
    CHECK(loaded->bitmap.written(PageId(5)));
    CHECK_FALSE(loaded->bitmap.written(PageId(kSecond + 1)));
    CHECK(loaded->bitmap.written(PageId(2 * kSecond + 2)));
    // Found out again, it is there again.
    loaded->bitmap.set_written(PageId(kSecond + 9));
    REQUIRE(b.write(*loaded));
    const auto after = b.load();
    CHECK(after->found.lost.empty());
    CHECK(after->bitmap.written(PageId(kSecond + 9)));
    CHECK(b.settled());
}

TEST_CASE("bitmap store: a drive that went back in time has nothing in its pages for newer bits") {
    Bitmap b;
    b.set({5});
    const std::vector<std::byte> before(b.scm[0].bytes.data(), b.scm[0].bytes.data() + 64 * MiB);
    const bool own = GENERATE(true, false);
    const std::uint64_t page = own ? 6 : 7;
    REQUIRE((b.array.layout.pmt_drive(PageId(page)) == 0) == own);
    b.set({page});
    std::ranges::copy(before, b.scm[0].bytes.data());
    const auto loaded = b.load();
    CHECK(loaded->found.lost.size() == (own ? 1 : 0));
    CHECK(loaded->bitmap.written(PageId(page)) == !own);
    REQUIRE(b.write(*loaded));
    CHECK(b.load()->found.lost.empty());
    CHECK(b.settled());
}

TEST_CASE("bitmap store: a block that can't be read is as good as damaged, the others count") {
    Bitmap b;
    b.set({5, kSecond});
    for (MemoryDrive& drive : b.scm) drive.unreadable = b.array.layout.bitmap_page_offset(0, 0);
    const auto loaded = b.load();
    CHECK(loaded->found.lost.empty());
    CHECK(loaded->bitmap.written(PageId(5)));
    CHECK(loaded->bitmap.written(PageId(kSecond)));
}

TEST_CASE("bitmap store: bits that are set while others are written are written the next time") {
    Bitmap b;
    const auto loaded = b.load();
    loaded->bitmap.set_written(PageId(5));
    BitmapWriter writer(b.array, loaded->bitmap, loaded->found.generations);
    writer.begin();
    REQUIRE(writer.take());
    loaded->bitmap.set_written(PageId(6));
    do {
        REQUIRE(run(b.queue, writer.write(PersistencePoint::table_bits_write)));
    } while (writer.wrote());
    CHECK(b.load()->bitmap.written(PageId(5)));
    CHECK_FALSE(b.load()->bitmap.written(PageId(6)));
    CHECK_FALSE(writer.take());  // of this pass
    writer.begin();
    REQUIRE(writer.take());
    writer.give_up();
    writer.begin();
    CHECK(writer.take());
}
